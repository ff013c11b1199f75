//! Root device hints and the choice of the root device (IPA contract §6).

mod device;
mod expression;
mod select;

pub use device::{HintError, RootDeviceHints, parse};
pub use select::{AmbiguityPolicy, RootChoice, RootDeviceError, select_root_device, select_root_device_with};
pub(crate) use select::{Volumes, root_device_of};
