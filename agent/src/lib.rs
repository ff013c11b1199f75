//! The agent of the deploy ramdisk: it answers the conductor and never calls.
//!
//! Owns the duties of the first process of a ramdisk, the TLS server, the API of `/v1` and `/v2`, the one running
//! operation and the way images get to it. It refuses callers without a client certificate of its node's authority
//! (in IPA's place, those who do not know the token), and dials nobody, unless an image's transport says `direct`.

pub mod access;
pub mod agent;
pub mod api;
mod cli;
pub mod clock;
pub mod commands;
mod front;
mod init;
pub mod ipa;
pub mod jobs;
pub mod logging;
pub mod power;
pub mod process;
mod serve;
pub mod tls;

pub use cli::run;
