//! The command line: `tacit serve`, and the client side of the API for people.
//!
//! Owns arguments, output and exit status. Everything that it knows of nodes it learns through the API.

mod arguments;
mod assignments;
mod bridge;
mod client;
mod erasure;
mod error;
mod follow;
mod join;
mod node;
mod node_change;
mod node_output;
mod output;
mod port;
mod progress;
mod run;
mod serve;

pub use run::run;
