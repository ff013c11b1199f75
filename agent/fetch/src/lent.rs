//! Connections that the conductor lent: dialled by it, used by us as HTTP client (reverse HTTP).

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use rustls::{ServerConnection, StreamOwned};

use crate::connection::{Connection, Stream, Wire};
use crate::error::Broken;
use crate::patience::Patience;

/// More idle connections than this are not kept.
const CAPACITY: usize = 32;

/// A connection that was just turned round.
#[derive(Debug)]
pub struct LentConnection(Connection);

impl LentConnection {
    /// A connection whose other end dialled us with TLS. `early` is what was read from it behind its last request.
    pub fn tls(socket: TcpStream, session: ServerConnection, early: Vec<u8>) -> Self {
        let stream = StreamOwned::new(session, Wire::new(socket));
        Self(Connection::new(Stream::Server(Box::new(stream)), early))
    }

    /// A connection without TLS.
    pub fn plain(socket: TcpStream, early: Vec<u8>) -> Self {
        Self(Connection::new(Stream::Plain(socket), early))
    }
}

/// The lent connections that nobody uses at the moment.
#[derive(Debug, Default)]
pub struct LendPool {
    idle: Mutex<VecDeque<Connection>>,
    arrived: Condvar,
}

impl LendPool {
    /// Takes a connection that was just turned round. Does not block.
    pub fn add(&self, lent: LentConnection) {
        self.put(lent.0);
    }

    /// Takes a connection whose last answer was read to its end.
    pub(crate) fn put(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain_mut(Connection::is_silent);
        if idle.len() < CAPACITY {
            idle.push_back(connection);
            self.arrived.notify_one();
        }
    }

    /// An idle connection; says that one is wanted if it has to wait.
    pub(crate) fn take(&self, patience: &Patience) -> Result<Connection, Broken> {
        let start = Instant::now();
        let mut told = false;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            idle.retain_mut(Connection::is_silent);
            if let Some(connection) = idle.pop_front() {
                return Ok(connection);
            }
            if !told {
                told = true;
                drop(idle);
                patience.interest().lend_wanted();
                idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            patience.check(start, "nobody lent a connection")?;
            idle = match self.arrived.wait_timeout(idle, patience.look()) {
                Ok((idle, _)) => idle,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}
