//! What can go wrong with the store.

use std::path::PathBuf;

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another record has this value in a field that must be unique.
    #[error("{what} {value} is in use already")]
    Conflict { what: &'static str, value: String },
    /// The record to change does not exist (any more).
    #[error("{what} {ident} does not exist")]
    Missing { what: &'static str, ident: String },
    #[error("cannot open the store {path}")]
    Open { path: PathBuf, source: rusqlite::Error },
    /// A newer program wrote this file.
    #[error("the store has schema version {found}, this program knows {known}")]
    Newer { found: i64, known: i64 },
    #[error("store: {action} failed")]
    Database { action: &'static str, source: rusqlite::Error },
    #[error("store: {what} is not readable as what it should be")]
    Record { what: &'static str, source: serde_json::Error },
}

/// Names the action that a database error belongs to.
pub(super) fn doing(action: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |source| StoreError::Database { action, source }
}

/// Names the record that is not readable.
pub(super) fn reading(what: &'static str) -> impl Fn(serde_json::Error) -> StoreError {
    move |source| StoreError::Record { what, source }
}

/// Whether a write was refused because a value must be unique.
pub(super) fn is_unique_violation(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    error.sqlite_error().is_some_and(|e| {
        e.extended_code == SQLITE_CONSTRAINT_UNIQUE || e.extended_code == SQLITE_CONSTRAINT_PRIMARYKEY
    })
}
