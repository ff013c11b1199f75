//! Images onto disks, in memory and real, right and wrong.
#![expect(clippy::unwrap_used, reason = "tests panic on purpose")]

mod config_drive;
mod device;
mod faults;
mod faulty;
mod formats;
mod kernel;
mod kill;
mod loops;
mod partition_image;
mod properties;
mod qcow2;
mod round_trip;
mod sources;
mod support;
