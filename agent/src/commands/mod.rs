//! The commands behind both fronts of the API: one table, one function each.

mod bootloader;
mod image_digest;
mod image_info;
mod image_layout;
mod image_manager;
mod image_request;
mod imaging_faults;
mod imaging_job;
mod inventory;
mod logs;
mod root_device;
mod signature;
mod standby;
mod start;
mod steps;
mod table;
mod write_image;

pub use image_manager::ImagingHardwareManager;
pub use start::spawn;
pub use table::{CommandSpec, Kind, LookupError, check, find};
