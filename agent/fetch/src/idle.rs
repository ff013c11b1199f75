//! Connections that wait for their next request, and the way back to where they wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::connection::Connection;
use crate::lent::LendPool;
use crate::url::Origin;

/// Idle connections kept per origin.
const PER_ORIGIN: usize = 4;

/// Dialled connections, by whom they lead to.
#[derive(Debug, Default)]
pub(crate) struct Idle(Mutex<HashMap<Origin, Vec<Connection>>>);

impl Idle {
    pub(crate) fn take(&self, origin: &Origin) -> Option<Connection> {
        let mut origins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = origins.get_mut(origin)?;
        connections.retain_mut(Connection::is_silent);
        connections.pop()
    }

    fn put(&self, origin: &Origin, connection: Connection) {
        let mut origins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = origins.entry(origin.clone()).or_default();
        if connections.len() < PER_ORIGIN {
            connections.push(connection);
        }
    }
}

/// Where a connection goes when its answer was read to the end.
#[derive(Clone, Debug)]
pub(crate) enum Home {
    Lent(Arc<LendPool>),
    Direct(Arc<Idle>, Origin),
}

impl Home {
    pub(crate) fn give_back(&self, connection: Connection) {
        match self {
            Self::Lent(pool) => pool.put(connection),
            Self::Direct(idle, origin) => idle.put(origin, connection),
        }
    }
}
