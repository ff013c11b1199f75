//! Addresses for the servers that tests start: between choosing one and listening there, nobody else takes it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::process;
use std::sync::{Mutex, PoisonError};

/// Below those that the kernel gives to callers.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// What tells other tests' processes that a port has been given, for as long as this one lives.
static CLAIMS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// An address of loopback that nobody listens at, another one each time and in each process.
///
/// # Panics
///
/// When all ports are taken.
pub fn free_address() -> SocketAddr {
    // Processes begin at different places, so that they seldom meet.
    let start = (process::id() % u32::from(COUNT)) as u16;
    for step in 0..COUNT {
        let port = FIRST + ((u32::from(start) * 20 + u32::from(step)) % u32::from(COUNT)) as u16;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let Ok(claim) = claim(port) else { continue };
        if TcpListener::bind(address).is_ok() {
            CLAIMS.lock().unwrap_or_else(PoisonError::into_inner).push(claim);
            return address;
        }
    }
    panic!("no port of loopback is free");
}

fn claim(port: u16) -> std::io::Result<UnixListener> {
    UnixListener::bind_addr(&UnixAddr::from_abstract_name(format!("tacit-tests-port-{port}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_given_twice() {
        let mut given: Vec<_> = (0..50).map(|_| free_address()).collect();
        for address in &given {
            assert!(claim(address.port()).is_err(), "another process could have {address}");
        }
        given.sort();
        given.dedup();
        assert_eq!(given.len(), 50);
    }

    #[test]
    fn where_somebody_listens_is_not_free() {
        let port = free_address().port();
        let _listens = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        CLAIMS.lock().unwrap().retain(|claim| {
            let name = claim.local_addr().unwrap();
            name.as_abstract_name() != Some(format!("tacit-tests-port-{port}").as_bytes())
        });
        assert!((0..100).all(|_| free_address().port() != port));
    }
}
