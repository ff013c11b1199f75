//! Documents of the engine: one a kind and node, opaque here.

use rusqlite::params;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::Tx;
use super::error::{StoreError, doing, reading};
use super::transaction::{key, text};

const DOCUMENT: &str = "document";

impl Tx<'_> {
    /// Stores `body` as the document of this kind of this node, in place of an older one.
    pub fn put_doc(&self, kind: &str, node: Uuid, body: &impl Serialize) -> Result<(), StoreError> {
        self.change(
            "storing a document",
            "INSERT INTO documents (kind, node, body) VALUES (?1, ?2, ?3) \
             ON CONFLICT (kind, node) DO UPDATE SET body = ?3",
            params![kind, key(node), text(DOCUMENT, body)?],
        )?;
        Ok(())
    }

    pub fn doc<T: DeserializeOwned>(&self, kind: &str, node: Uuid) -> Result<Option<T>, StoreError> {
        let sql = "SELECT body FROM documents WHERE kind = ?1 AND node = ?2";
        Ok(self.records(DOCUMENT, sql, [kind, &key(node)])?.pop())
    }

    /// Removes a document; that there is none is no error.
    pub fn delete_doc(&self, kind: &str, node: Uuid) -> Result<(), StoreError> {
        self.change(
            "deleting a document",
            "DELETE FROM documents WHERE kind = ?1 AND node = ?2",
            [kind, &key(node)],
        )?;
        Ok(())
    }

    /// All documents of a kind with their nodes.
    pub fn docs<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<(Uuid, T)>, StoreError> {
        let sql = "SELECT node, body FROM documents WHERE kind = ?1 ORDER BY node";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        let rows = self.rows("reading documents", sql, [kind], read)?;
        let parse = |(node, body): (String, String)| {
            let node = Uuid::try_parse(&node)
                .map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
                .map_err(doing("reading documents"))?;
            Ok((node, serde_json::from_str(&body).map_err(reading(DOCUMENT))?))
        };
        rows.into_iter().map(parse).collect()
    }
}
