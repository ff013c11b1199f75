//! Removal of everything by which a system recognises what is on a disk (IPA contract §5.3 to §5.5), as
//! probe → plan → execute → prove.

mod erase;
mod guard;
mod plan;
mod probe;
mod signatures;
mod skip;
mod step;

pub use skip::SkipList;
pub(crate) use step::STEPS;
