//! The agent's program as its callers meet it: started for real, called over TLS.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod step_files;
mod support;

mod bad_input;
mod direct;
mod imaging;
mod ipa;
mod managers;
mod operations;
mod recorded;
mod restart;
mod suites;
mod trust;
mod vouched;
