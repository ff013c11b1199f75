//! A ramdisk whose boot medium stock Ironic makes (`tacit-image build --profile ironic`): where its network configuration
//! comes from (`docs/adr/0014-trust-in-ironics-ramdisk.md` says where trust does).

mod address;
mod floppy;
mod iso9660;
mod medium;
mod search;
mod settings;

pub(super) use settings::settings;
