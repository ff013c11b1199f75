//! One lab: a network of its own with a virtual server, its BMC, an image server and a capture of the server's link.

mod bmc;
mod command_line;
mod conductor;
mod image_server;

mod libvirt;
mod link;
mod network;
mod power;
mod process;
mod record;
mod running;
mod serial;
mod server;

pub use bmc::Bmc;
pub use command_line::CommandLine;
pub use conductor::Conductor;
pub use image_server::{Access, ImageServer};
pub use link::LinkWatch;
pub use network::{Network, Port};
pub use power::{PowerChange, PowerWatch};
pub use process::{Process, run, tail};
pub use record::clean_leftovers;
use record::tear_down_on_signals;
pub use running::{Lab, LabOptions};
pub use serial::{Serial, SerialLine};
pub use server::VirtualServer;

/// Address of everything that is not the node: BMC, image server, the conductor's media.
pub const HOST_ADDRESS: &str = "10.99.0.1";
/// The node's known address.
pub const NODE_ADDRESS: &str = "10.99.0.2";
/// The node's one network card.
pub const NODE_MAC: &str = "52:54:00:99:00:02";
