//! Schema and its versions. A record is a JSON document; a column exists only where something is unique or looked up.

use rusqlite::Connection;

use super::error::{StoreError, doing};

/// One entry a version, applied in order; an entry never changes once released.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE nodes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        uuid TEXT NOT NULL UNIQUE,
        name TEXT UNIQUE,
        instance_uuid TEXT UNIQUE,
        record TEXT NOT NULL
    ) STRICT;
    CREATE TABLE ports (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        uuid TEXT NOT NULL UNIQUE,
        address TEXT NOT NULL UNIQUE,
        name TEXT UNIQUE,
        node TEXT NOT NULL REFERENCES nodes(uuid) ON DELETE CASCADE,
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX ports_node ON ports(node);
    CREATE TABLE history (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        uuid TEXT NOT NULL UNIQUE,
        node TEXT NOT NULL REFERENCES nodes(uuid) ON DELETE CASCADE,
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX history_node ON history(node, id);
    CREATE TABLE inventories (
        node TEXT PRIMARY KEY REFERENCES nodes(uuid) ON DELETE CASCADE,
        inventory TEXT NOT NULL,
        plugin_data TEXT NOT NULL
    ) STRICT;
    CREATE TABLE documents (
        kind TEXT NOT NULL,
        node TEXT NOT NULL REFERENCES nodes(uuid) ON DELETE CASCADE,
        body TEXT NOT NULL,
        PRIMARY KEY (kind, node)
    ) STRICT;
    CREATE INDEX documents_node ON documents(node);
",
    // Certificates of erasure stay when their node is forgotten.
    "
    CREATE TABLE erasures (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        node TEXT NOT NULL,
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX erasures_node ON erasures(node, id);
",
];

/// Brings a file to the newest version; each version in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(doing("reading its version"))?;
    let known = i64::try_from(MIGRATIONS.len()).expect("a handful of versions");
    let done = usize::try_from(found).ok().filter(|done| *done <= MIGRATIONS.len());
    let done = done.ok_or(StoreError::Newer { found, known })?;
    for (version, sql) in (1_i64..).zip(MIGRATIONS).skip(done) {
        let transaction = connection.transaction().map_err(doing("migrating"))?;
        transaction.execute_batch(sql).map_err(doing("migrating"))?;
        transaction.pragma_update(None, "user_version", version).map_err(doing("migrating"))?;
        transaction.commit().map_err(doing("migrating"))?;
    }
    Ok(())
}
