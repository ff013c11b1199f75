//! Certificates of erasure. They are never changed and never trimmed, and outlive their node.

use rusqlite::params;
use uuid::Uuid;

use super::Tx;
use super::error::StoreError;
use super::transaction::{key, text};
use crate::pki::Signed;

const ERASURE: &str = "certificate of erasure";

impl Tx<'_> {
    pub fn add_erasure(&self, node: Uuid, certificate: &Signed) -> Result<(), StoreError> {
        self.change(
            "storing a certificate of erasure",
            "INSERT INTO erasures (node, record) VALUES (?1, ?2)",
            params![key(node), text(ERASURE, certificate)?],
        )?;
        Ok(())
    }

    /// Certificates of a node, oldest first; also of one that is forgotten.
    pub fn erasures(&self, node: Uuid) -> Result<Vec<Signed>, StoreError> {
        self.records(ERASURE, "SELECT record FROM erasures WHERE node = ?1 ORDER BY id", [key(node)])
    }
}
