//! Duties of the first process of a ramdisk: mounts, modules, clock, network, and to keep the agent running.

mod coldplug;
mod console;
mod file_systems;
mod ironic;
mod modalias;
mod modules;
mod mounts;
mod network;
mod start;
mod supervise;
mod uevents;

pub(crate) use file_systems::load_file_systems;
pub(crate) use network::{all_links_down, with_links_up};
pub(crate) use start::run;
pub(crate) use supervise::is_supervised;
