//! Certificates of erasure, and statements about devices that were not erased. They are never changed and never trimmed,
//! and outlive their node.

use rusqlite::params;
use serde_json::Value;
use uuid::Uuid;

use super::Tx;
use super::error::{StoreError, doing, reading};
use super::transaction::{key, text};
use crate::chain::chain;
use crate::pki::Signed;

const ERASURE: &str = "statement about an erasure";
const OF_NODE: &str = "SELECT record FROM erasures WHERE node = ?1 ORDER BY id";

impl Tx<'_> {
    /// Stores statements; how an operation ended may be read twice, what is known of its devices stays as it is.
    /// Returns how many are new. A stored one that cannot be read is no reason to lose these.
    pub fn add_erasures(&self, node: Uuid, statements: &[Signed]) -> Result<usize, StoreError> {
        if statements.is_empty() {
            return Ok(0);
        }
        let stored = self.rows(ERASURE, OF_NODE, [key(node)], |row| {
            let text = row.get::<_, String>(0).map_err(doing(ERASURE));
            Ok(text.and_then(|text| serde_json::from_str::<Signed>(&text).map_err(reading(ERASURE))))
        })?;
        let mut known = Vec::new();
        for statement in stored {
            match statement {
                Ok(statement) => known.push(subject(&statement)),
                Err(error) => tracing::error!(%node, error = chain(&error), "skipped"),
            }
        }
        let mut added = 0;
        for statement in statements.iter().filter(|new| !known.contains(&subject(new))) {
            self.change(
                "storing a statement about an erasure",
                "INSERT INTO erasures (node, record) VALUES (?1, ?2)",
                params![key(node), text(ERASURE, statement)?],
            )?;
            added += 1;
        }
        Ok(added)
    }

    /// Statements about a node, oldest first; also of one that is forgotten.
    pub fn erasures(&self, node: Uuid) -> Result<Vec<Signed>, StoreError> {
        self.records(ERASURE, OF_NODE, [key(node)])
    }
}

/// What a statement speaks of: an operation and a device.
fn subject(signed: &Signed) -> [Value; 2] {
    let statement = signed.statement().unwrap_or_default();
    ["operation", "device"].map(|member| statement[member].clone())
}
