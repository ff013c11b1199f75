//! Ports.

use rusqlite::params;
use uuid::Uuid;

use super::error::StoreError;
use super::transaction::{key, text};
use super::{Tx, now_iso};
use crate::port::{Port, normal_mac};

const PORT: &str = "port";

impl Tx<'_> {
    /// Stores a new port.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the UUID, the address or the name is taken.
    pub fn create_port(&self, port: &Port) -> Result<(), StoreError> {
        let created = self.change(
            "creating a port",
            "INSERT INTO ports (uuid, address, name, node, record) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![key(port.uuid), port.address, port.name, key(port.node_uuid), text(PORT, port)?],
        )?;
        created.map(drop).ok_or_else(|| self.port_taken(port))
    }

    pub fn port(&self, uuid: Uuid) -> Result<Option<Port>, StoreError> {
        Ok(self.records(PORT, "SELECT record FROM ports WHERE uuid = ?1", [key(uuid)])?.pop())
    }

    /// By UUID, MAC address in any form, or name.
    pub fn port_by_ident(&self, ident: &str) -> Result<Option<Port>, StoreError> {
        if let Ok(uuid) = Uuid::try_parse(ident) {
            return self.port(uuid);
        }
        let address = normal_mac(ident).unwrap_or_default();
        let sql = "SELECT record FROM ports WHERE address = ?1 OR name = ?2";
        Ok(self.records(PORT, sql, [address.as_str(), ident])?.pop())
    }

    /// All ports in the order of their creation.
    pub fn ports(&self) -> Result<Vec<Port>, StoreError> {
        self.records(PORT, "SELECT record FROM ports ORDER BY id", [])
    }

    pub fn ports_of(&self, node: Uuid) -> Result<Vec<Port>, StoreError> {
        self.records(PORT, "SELECT record FROM ports WHERE node = ?1 ORDER BY id", [key(node)])
    }

    /// Stores a changed port whole and sets `updated_at`.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or [`StoreError::Conflict`] when the address or the name is taken.
    pub fn save_port(&self, port: &mut Port) -> Result<(), StoreError> {
        port.updated_at = Some(now_iso());
        let saved = self.change(
            "saving a port",
            "UPDATE ports SET address = ?2, name = ?3, node = ?4, record = ?5 WHERE uuid = ?1",
            params![key(port.uuid), port.address, port.name, key(port.node_uuid), text(PORT, port)?],
        )?;
        match saved {
            Some(1) => Ok(()),
            Some(_) => Err(missing(port.uuid)),
            None => Err(self.port_taken(port)),
        }
    }

    /// # Errors
    /// [`StoreError::Missing`] when there is none.
    pub fn delete_port(&self, uuid: Uuid) -> Result<(), StoreError> {
        match self.change("deleting a port", "DELETE FROM ports WHERE uuid = ?1", [key(uuid)])? {
            Some(1) => Ok(()),
            _ => Err(missing(uuid)),
        }
    }

    fn port_taken(&self, port: &Port) -> StoreError {
        let by_address =
            self.port_by_ident(&port.address).ok().flatten().is_some_and(|o| o.uuid != port.uuid);
        let (what, value) = match &port.name {
            _ if by_address => ("MAC address", port.address.clone()),
            Some(name) => ("port name", name.clone()),
            None => ("port UUID", port.uuid.to_string()),
        };
        StoreError::Conflict { what, value }
    }
}

fn missing(uuid: Uuid) -> StoreError {
    StoreError::Missing { what: PORT, ident: uuid.to_string() }
}
