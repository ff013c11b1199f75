//! The step `update_firmware`: new firmware in the slots of NVMe drives, as plan → execute → prove.

mod apply;
mod guard;
mod image;
mod plan;
mod revision;
mod source;
mod step;

pub(super) use step::run;
