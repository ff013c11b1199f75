//! Removal of everything by which a system recognises what is on a disk (IPA contract §5.3 to §5.5), as
//! probe → plan → execute → prove.

mod above;
mod arrays;
mod census;
mod erase;
mod follow;
mod forbidden;
mod guard;
mod kept;
pub(crate) mod lanes;
mod look;
mod media;
mod plan;
mod probe;
mod same;
mod signatures;
mod skip;
mod stack;
mod step;
mod survey;

pub(crate) use arrays::{KeptArray, has_software_raid};
pub(crate) use forbidden::{contents, forbidden, guards_shared};
pub(crate) use guard::{ask, reserved, shared_with};
pub(crate) use kept::{kept_volume, listed, remaining, same_unit, with_remarks};
pub(crate) use media::ParameterLabel;
pub use skip::SkipList;
pub(crate) use stack::underneath;
pub(crate) use step::{STEPS, result};
pub(crate) use survey::survey;
