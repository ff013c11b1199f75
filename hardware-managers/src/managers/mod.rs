//! Hardware managers: what they must offer, and who is asked for what (IPA contract §4).

mod dispatch;
mod error;
mod generic;
mod manager;
mod specification;

pub use dispatch::Managers;
pub use error::{DeviceFailure, StepError};
pub use generic::GenericHardwareManager;
pub use manager::{HardwareManager, StepContext, StepObserver, SupportLevel};
pub(crate) use specification::{Argument, DRY_RUN, StepSpecification};
