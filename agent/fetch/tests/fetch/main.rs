//! Fetching from servers that behave, and from those that do not.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod answers;
mod breaks;
mod connections;
mod credentials;
mod lent;
mod nginx;
mod ranges;
mod server;
mod tls;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tacit_fetch::{Authorities, Fetcher, Got, Interest, Url};

/// Somebody who may lose interest.
#[derive(Default)]
pub(crate) struct Somebody {
    pub(crate) gone: AtomicBool,
    pub(crate) wanted: AtomicUsize,
}

impl Interest for Somebody {
    fn cancelled(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    fn lend_wanted(&self) {
        self.wanted.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn direct() -> Fetcher {
    Fetcher::direct(Authorities::public(), Arc::new(Somebody::default())).unwrap()
}

pub(crate) fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

pub(crate) fn all(mut got: Got) -> Vec<u8> {
    let mut bytes = Vec::new();
    got.reader.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Bytes that differ everywhere.
pub(crate) fn content(length: usize) -> Vec<u8> {
    (0..length as u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes())
        .take(length)
        .collect()
}
