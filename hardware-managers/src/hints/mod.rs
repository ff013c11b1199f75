//! Root device hints and the choice of the root device (IPA contract §6).

mod device;
mod expression;
mod select;

pub use device::{HintError, RootDeviceHints, parse};
pub use select::{RootDeviceError, select_root_device};
