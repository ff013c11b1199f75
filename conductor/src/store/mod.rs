//! The conductor's memory: nodes, ports, history, inventories and the engine's documents.
//!
//! One SQLite file, written ahead and synced on every commit, so that what was answered or begun survives `kill -9`.
//! Callers see transactions and records, never SQL: another database can stand behind the same names.

mod clock;
mod documents;
mod erasures;
mod error;
mod history;
mod nodes;
mod open;
mod ports;
mod schema;
#[cfg(test)]
mod tests;
mod transaction;

pub use clock::{now_iso, seconds_since};
pub use error::StoreError;
pub use history::{HistoryEntry, NewHistory, Severity};
pub use open::{Store, host_name};
pub use transaction::Tx;
