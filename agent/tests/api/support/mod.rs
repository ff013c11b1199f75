//! A started agent, its authority, and a caller.

mod agent;
mod call;
mod deploy;
mod ipa_agent;
mod lender;
mod pki;

pub(crate) use agent::{NODE, TestAgent};
pub(crate) use call::{Answer, Caller};
pub(crate) use deploy::{finished, image, sha256, write_request};
pub(crate) use ipa_agent::{IpaAgent, TOKEN};
pub(crate) use lender::{Lender, Served};
pub(crate) use pki::{Authority, Identity};
