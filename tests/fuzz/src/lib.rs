//! What fuzzers feed through public interfaces: each function takes any bytes, and panics where a promise does not
//! hold. What is private to a crate has its own
//! there, behind the crate's feature `fuzzing`.

mod checksum;
mod node_config;

pub use checksum::checksum;
pub use node_config::node_config;

/// Name of the corpus, and what is fed from it.
pub type Entry = (&'static str, fn(&[u8]));

/// Everything above.
pub const ENTRIES: &[Entry] = &[("checksum", checksum), ("node_config", node_config)];
