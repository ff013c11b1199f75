use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held while the edge sectors of an unaligned write are read, changed and written back.
#[derive(Debug, Default)]
pub(super) struct Edges(Mutex<()>);

impl Edges {
    pub(super) fn lock(&self) -> MutexGuard<'_, ()> {
        // The lock guards no data, only the order on the device: a poisoned one is as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
