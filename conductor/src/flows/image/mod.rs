//! From `instance_info` to the `image_info` that the agent gets, and to the URLs that it may fetch; and what the
//! operator wants of all images of a node, which goes onto its medium.
//!
//! Everything is checked before a machine is booted for it; a reason names the key that is wrong (API contract §4.6).

mod digest;
mod fault;
mod ipa;
mod options;
mod origin;
mod partition;
mod plan;
mod policy;

pub(super) use ipa::{check_for_ipa, ipa_image};
pub(super) use plan::{check, plan};
pub(super) use policy::policy;
