//! The agent in IPA's place: what stock Ironic gives to IPA by kernel command line, virtual media and configuration
//! files (IPA contract §9), and what becomes of it here.

mod conf;
mod face;
mod lookup;
mod options;
mod start;
mod table;
mod values;

pub use face::IpaFace;
pub use lookup::{Lookup, LookupError};
pub use options::{Options, OptionsError};
pub(crate) use start::{Start, options, start};
