//! A machine on the desk: a disk of the loop driver, the real agent as a process and a BMC that obeys, lies or fails
//! on demand. It boots in milliseconds, so the conductor's flows and their faults are tried by the dozen.

mod bmc;
mod conductor;
mod disk;
mod images;
mod machine;
mod site;

pub use bmc::BmcFaults;
pub use conductor::Conductor;
pub use disk::LoopDisk;
pub use images::ImageServer;
pub use machine::{Behaviour, Machine};
pub use site::{Image, Site, write_table};
