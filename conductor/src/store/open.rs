//! Opening the store, transactions and the reads that are a transaction of their own.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use uuid::Uuid;

use super::error::{StoreError, doing};
use super::{Tx, schema};
use crate::node::Node;
use crate::port::Port;

/// How long a transaction waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The store. One writer at a time; readers of a file do not wait for the writer.
pub struct Store {
    writer: Mutex<Connection>,
    /// Absent for a store in memory, which only one connection can see.
    reader: Option<Mutex<Connection>>,
    conductor: String,
}

/// Name of this host, as `reservation` and `conductor` show it.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

impl Store {
    /// Opens or creates the file, in WAL mode with every commit synced.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = |source| StoreError::Open { path: path.to_owned(), source };
        let mut writer = Connection::open(path).map_err(opened)?;
        writer.pragma_update(None, "journal_mode", "wal").map_err(opened)?;
        writer.pragma_update(None, "synchronous", "full").map_err(opened)?;
        Self::configure(&writer).map_err(opened)?;
        schema::migrate(&mut writer)?;
        let reader = Connection::open(path).map_err(opened)?;
        Self::configure(&reader).map_err(opened)?;
        reader.pragma_update(None, "query_only", true).map_err(opened)?;
        Ok(Self { writer: Mutex::new(writer), reader: Some(Mutex::new(reader)), conductor: host_name() })
    }

    /// A store that ends with this value, for tests.
    pub fn in_memory() -> Result<Self, StoreError> {
        let mut writer = Connection::open_in_memory().map_err(doing("opening in memory"))?;
        Self::configure(&writer).map_err(doing("opening in memory"))?;
        schema::migrate(&mut writer)?;
        Ok(Self { writer: Mutex::new(writer), reader: None, conductor: host_name() })
    }

    fn configure(connection: &Connection) -> rusqlite::Result<()> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "foreign_keys", true)
    }

    /// The name of this conductor in history entries.
    pub fn conductor(&self) -> &str {
        &self.conductor
    }

    /// Runs `f` as one atomic transaction: committed when it returns `Ok`, rolled back otherwise.
    ///
    /// `f` must not use the store itself again (it would wait for itself), only the [`Tx`].
    pub fn transact<T, E: From<StoreError>>(&self, f: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        let mut connection = lock(&self.writer);
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(doing("beginning a transaction"))?;
        let value = f(&Tx::new(&transaction, &self.conductor))?;
        transaction.commit().map_err(doing("committing"))?;
        Ok(value)
    }

    /// Runs `f` on one consistent view; nothing that it writes is kept.
    pub fn read<T, E: From<StoreError>>(&self, f: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        let mut connection = lock(self.reader.as_ref().unwrap_or(&self.writer));
        let transaction = connection.transaction().map_err(doing("beginning to read"))?;
        f(&Tx::new(&transaction, &self.conductor))
    }

    pub fn node(&self, uuid: Uuid) -> Result<Option<Node>, StoreError> {
        self.read(|tx| tx.node(uuid))
    }

    /// By UUID or name.
    pub fn node_by_ident(&self, ident: &str) -> Result<Option<Node>, StoreError> {
        self.read(|tx| tx.node_by_ident(ident))
    }

    /// All nodes in the order of their creation.
    pub fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        self.read(|tx| tx.nodes())
    }

    /// All ports in the order of their creation.
    pub fn ports(&self) -> Result<Vec<Port>, StoreError> {
        self.read(|tx| tx.ports())
    }

    pub fn ports_of(&self, node: Uuid) -> Result<Vec<Port>, StoreError> {
        self.read(|tx| tx.ports_of(node))
    }

    /// A document of the engine, see [`Tx::put_doc`].
    pub fn doc<T: serde::de::DeserializeOwned>(
        &self,
        kind: &str,
        node: Uuid,
    ) -> Result<Option<T>, StoreError> {
        self.read(|tx| tx.doc(kind, node))
    }

    /// All documents of a kind.
    pub fn docs<T: serde::de::DeserializeOwned>(&self, kind: &str) -> Result<Vec<(Uuid, T)>, StoreError> {
        self.read(|tx| tx.docs(kind))
    }
}

/// A panic inside a transaction rolled it back, so the connection is good to use.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}
