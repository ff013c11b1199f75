//! What happened to nodes, for people (API contract §5.3), and inventories.

use rusqlite::params;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::error::{StoreError, reading};
use super::transaction::{key, text};
use super::{Tx, now_iso, seconds_since};

const HISTORY: &str = "history entry";
const INVENTORY: &str = "inventory";

/// How many entries a node keeps.
const KEPT: u32 = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    Error,
    Info,
}

/// What a caller knows of a new entry; the store adds the rest.
#[derive(Clone, Debug)]
pub struct NewHistory {
    pub severity: Severity,
    /// `automated_cleaning_start`, `deployment_end`, … or the name of a step.
    pub event_type: String,
    pub event: String,
}

/// An entry in the field names of the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub uuid: Uuid,
    pub created_at: String,
    pub severity: Severity,
    pub event_type: String,
    pub event: String,
    pub conductor: Option<String>,
    pub user: Option<String>,
    pub project: Option<String>,
    /// Provision state of the node when this was written.
    pub state: Option<String>,
    pub target_provision_state: Option<String>,
    /// Whole seconds that the node was in that state already.
    pub duration_seconds: Option<i64>,
}

impl Tx<'_> {
    /// Adds an entry with the node's present state, and drops what is over the newest 300.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the node does not exist.
    pub fn add_history(&self, node: Uuid, new: NewHistory) -> Result<(), StoreError> {
        let record =
            self.node(node)?.ok_or_else(|| StoreError::Missing { what: "node", ident: node.to_string() })?;
        let entry = HistoryEntry {
            uuid: Uuid::new_v4(),
            created_at: now_iso(),
            severity: new.severity,
            event_type: new.event_type,
            event: new.event,
            conductor: Some(self.conductor.to_owned()),
            user: None,
            project: None,
            state: Some(record.provision_state.to_string()),
            target_provision_state: record.target_provision_state.map(|s| s.to_string()),
            duration_seconds: record.provision_updated_at.as_deref().and_then(seconds_since),
        };
        self.change(
            "adding history",
            "INSERT INTO history (uuid, node, record) VALUES (?1, ?2, ?3)",
            params![key(entry.uuid), key(node), text(HISTORY, &entry)?],
        )?;
        self.change(
            "trimming history",
            "DELETE FROM history WHERE node = ?1 AND id <= \
             (SELECT id FROM history WHERE node = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            params![key(node), KEPT],
        )?;
        Ok(())
    }

    /// Entries of a node, oldest first.
    pub fn history(&self, node: Uuid) -> Result<Vec<HistoryEntry>, StoreError> {
        self.records(HISTORY, "SELECT record FROM history WHERE node = ?1 ORDER BY id", [key(node)])
    }

    pub fn history_entry(&self, node: Uuid, entry: Uuid) -> Result<Option<HistoryEntry>, StoreError> {
        let sql = "SELECT record FROM history WHERE node = ?1 AND uuid = ?2";
        Ok(self.records(HISTORY, sql, [key(node), key(entry)])?.pop())
    }

    /// Stores what inspection found, in place of what an earlier one did.
    pub fn set_inventory(
        &self,
        node: Uuid,
        inventory: &Value,
        plugin_data: &Value,
    ) -> Result<(), StoreError> {
        self.change(
            "storing an inventory",
            "INSERT INTO inventories (node, inventory, plugin_data) VALUES (?1, ?2, ?3) \
             ON CONFLICT (node) DO UPDATE SET inventory = ?2, plugin_data = ?3",
            params![key(node), text(INVENTORY, inventory)?, text(INVENTORY, plugin_data)?],
        )?;
        Ok(())
    }

    /// Inventory and plugin data; `None` when the node was never inspected.
    pub fn inventory(&self, node: Uuid) -> Result<Option<(Value, Value)>, StoreError> {
        let sql = "SELECT inventory, plugin_data FROM inventories WHERE node = ?1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        let Some((inventory, plugin_data)) = self.rows(INVENTORY, sql, [key(node)], read)?.pop() else {
            return Ok(None);
        };
        let parse = |text: &str| serde_json::from_str(text).map_err(reading(INVENTORY));
        Ok(Some((parse(&inventory)?, parse(&plugin_data)?)))
    }
}
