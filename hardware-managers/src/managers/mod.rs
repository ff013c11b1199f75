//! Hardware managers: what they must offer, and who is asked for what (IPA contract §4).

mod cna;
mod complete;
mod devices;
mod dispatch;
mod error;
mod external;
mod generic;
mod loaded;
mod manager;
mod mlnx;
mod offers;
mod remote;
mod silent;
mod specification;

pub use cna::IntelCnaHardwareManager;
pub use devices::{DeviceAnswer, DeviceKind, InventoryPart};
pub use dispatch::{Managers, StepOutcome};
pub use error::{DeviceFailure, StepError};
pub use generic::GenericHardwareManager;
pub use loaded::BrokenManager;
pub(crate) use loaded::Loader;
pub use manager::{HardwareManager, StepContext, StepFamily, StepObserver, SupportLevel};
pub use mlnx::MellanoxDeviceHardwareManager;
pub use remote::{RemoteFile, Route};
pub(crate) use remote::{TRANSPORT, VERIFY_CA};
pub(crate) use silent::Silent;
pub(crate) use specification::{Argument, DRY_RUN, StepSpecification};
