//! Stock IPA at the other end, played here: what it does right, and everything that it or its network can do wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod fake_ipa;
mod flows;
mod site;
