//! A transaction: the handle through which every record is read and written.

use rusqlite::{Connection, Params, Row};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::{StoreError, doing, is_unique_violation, reading};

/// One transaction of the [`Store`](super::Store).
pub struct Tx<'a> {
    pub(super) connection: &'a Connection,
    pub(super) conductor: &'a str,
}

impl<'a> Tx<'a> {
    pub(super) fn new(connection: &'a Connection, conductor: &'a str) -> Self {
        Self { connection, conductor }
    }

    /// Runs a statement that changes something; `None` when a value that must be unique is taken.
    pub(super) fn change(
        &self,
        action: &'static str,
        sql: &str,
        parameters: impl Params,
    ) -> Result<Option<usize>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(doing(action))?;
        match statement.execute(parameters) {
            Ok(rows) => Ok(Some(rows)),
            Err(error) if is_unique_violation(&error) => Ok(None),
            Err(error) => Err(doing(action)(error)),
        }
    }

    /// Records in the first column of each row.
    pub(super) fn records<T: DeserializeOwned>(
        &self,
        what: &'static str,
        sql: &str,
        parameters: impl Params,
    ) -> Result<Vec<T>, StoreError> {
        let texts = self.rows(what, sql, parameters, |row| row.get::<_, String>(0))?;
        texts.iter().map(|text| serde_json::from_str(text).map_err(reading(what))).collect()
    }

    pub(super) fn rows<T>(
        &self,
        action: &'static str,
        sql: &str,
        parameters: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(doing(action))?;
        let rows = statement.query_map(parameters, read).map_err(doing(action))?;
        rows.collect::<Result<_, _>>().map_err(doing(action))
    }
}

/// A UUID as the store's keys hold it.
pub(super) fn key(uuid: Uuid) -> String {
    uuid.hyphenated().to_string()
}

/// A record as the store holds it.
pub(super) fn text(what: &'static str, value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(reading(what))
}
