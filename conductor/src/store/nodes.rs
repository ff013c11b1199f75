//! Nodes.

use rusqlite::params;
use uuid::Uuid;

use super::error::StoreError;
use super::transaction::{key, text};
use super::{Tx, now_iso};
use crate::node::Node;

const NODE: &str = "node";

impl Tx<'_> {
    /// Stores a new node.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the UUID, the name or the instance UUID is taken.
    pub fn create_node(&self, node: &Node) -> Result<(), StoreError> {
        let created = self.change(
            "creating a node",
            "INSERT INTO nodes (uuid, name, instance_uuid, record) VALUES (?1, ?2, ?3, ?4)",
            params![key(node.uuid), node.name, node.instance_uuid.map(key), text(NODE, node)?],
        )?;
        if created.is_none() {
            if self.node(node.uuid)?.is_some() {
                return Err(StoreError::Conflict { what: "node UUID", value: node.uuid.to_string() });
            }
            return self.taken(node);
        }
        Ok(())
    }

    pub fn node(&self, uuid: Uuid) -> Result<Option<Node>, StoreError> {
        Ok(self.records(NODE, "SELECT record FROM nodes WHERE uuid = ?1", [key(uuid)])?.pop())
    }

    /// By UUID in any form, or by name.
    pub fn node_by_ident(&self, ident: &str) -> Result<Option<Node>, StoreError> {
        match Uuid::try_parse(ident) {
            Ok(uuid) => self.node(uuid),
            Err(_) => Ok(self.records(NODE, "SELECT record FROM nodes WHERE name = ?1", [ident])?.pop()),
        }
    }

    /// All nodes in the order of their creation.
    pub fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        self.records(NODE, "SELECT record FROM nodes ORDER BY id", [])
    }

    /// Stores a changed node whole. Sets `updated_at`, and `provision_updated_at` when the provision state is another
    /// one than in the store.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the node was deleted; [`StoreError::Conflict`] on a taken name or instance.
    pub fn save_node(&self, node: &mut Node) -> Result<(), StoreError> {
        let stored = self.node(node.uuid)?.ok_or_else(|| missing(node.uuid))?;
        let now = now_iso();
        if stored.provision_state != node.provision_state {
            node.provision_updated_at = Some(now.clone());
        }
        node.updated_at = Some(now);
        let saved = self.change(
            "saving a node",
            "UPDATE nodes SET name = ?2, instance_uuid = ?3, record = ?4 WHERE uuid = ?1",
            params![key(node.uuid), node.name, node.instance_uuid.map(key), text(NODE, node)?],
        )?;
        if saved.is_none() { self.taken(node) } else { Ok(()) }
    }

    /// Removes a node with its ports, history, inventory and documents.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none.
    pub fn delete_node(&self, uuid: Uuid) -> Result<(), StoreError> {
        match self.change("deleting a node", "DELETE FROM nodes WHERE uuid = ?1", [key(uuid)])? {
            Some(1) => Ok(()),
            _ => Err(missing(uuid)),
        }
    }

    /// Which of the unique values of `node` another one has.
    fn taken(&self, node: &Node) -> Result<(), StoreError> {
        let others = self.nodes()?;
        let other = |same: &dyn Fn(&Node) -> bool| others.iter().any(|o| o.uuid != node.uuid && same(o));
        let (what, value) = match (&node.name, node.instance_uuid) {
            (Some(name), _) if other(&|o| o.name.as_ref() == Some(name)) => ("node name", name.clone()),
            (_, Some(instance)) => ("instance UUID", instance.to_string()),
            _ => (NODE, node.uuid.to_string()),
        };
        Err(StoreError::Conflict { what, value })
    }
}

fn missing(uuid: Uuid) -> StoreError {
    StoreError::Missing { what: NODE, ident: uuid.to_string() }
}
