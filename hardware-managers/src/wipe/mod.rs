//! Removal of everything by which a system recognises what is on a disk (IPA contract §5.3 to §5.5), as
//! probe → plan → execute → prove.

mod arrays;
mod census;
mod erase;
mod follow;
mod guard;
mod lanes;
mod media;
mod plan;
mod probe;
mod signatures;
mod skip;
mod stack;
mod step;
mod survey;

pub(crate) use guard::reserved;
pub use skip::SkipList;
pub(crate) use stack::underneath;
pub(crate) use step::STEPS;
pub(crate) use survey::survey;
