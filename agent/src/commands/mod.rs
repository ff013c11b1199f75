//! The commands behind both fronts of the API: one table, one function each.

mod bootc;
mod bootloader;
mod flow;
mod image_digest;
mod image_info;
mod image_layout;
mod image_manager;
mod image_request;
mod imaging_faults;
mod imaging_job;
mod inventory;
mod logs;
mod node_info;
mod rescue_user;
mod root_device;
mod secrets;
mod signature;
mod standby;
mod start;
mod step_files;
mod steps;
mod system;
mod table;
mod write_image;

pub use image_manager::ImagingHardwareManager;
pub use rescue_user::{RescueError, RescuePaths};
pub use start::{refused_name, spawn};
pub use table::{CommandSpec, Kind, LookupError, check, find};
