//! Tests of the crate through its public face, on fixture trees and on files that stand for disks.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod boot_entry;
mod burning;
mod cleaning;
mod collectors;
mod disk_image;
mod dispatch;
mod eligibility;
mod erasing;
mod hints;
mod injecting;
mod inventory;
mod oracles;
mod smbios;
mod tree;
