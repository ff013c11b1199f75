//! Who may hold a connection. Callers with a certificate are few and come in any case; of those without one, who has
//! shown no token gives way to the next.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Connections at a time; lent ones do not count any more.
const CONNECTIONS: u32 = 64;
/// How many of them callers without a certificate may have.
const STRANGERS: usize = 32;

/// A caller without a certificate, in the extensions of its requests.
#[derive(Debug, Default)]
pub struct Stranger {
    trusted: AtomicBool,
    leave: Notify,
}

impl Stranger {
    /// It has shown the token.
    pub fn trust(&self) {
        self.trusted.store(true, Ordering::Relaxed);
    }

    /// When it has to make room.
    pub(super) async fn has_to_leave(&self) {
        self.leave.notified().await;
    }
}

#[derive(Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    /// The oldest one first.
    strangers: Arc<Mutex<VecDeque<Weak<Stranger>>>>,
}

/// Held as long as the connection lasts.
pub(super) struct Place {
    pub(super) stranger: Option<Arc<Stranger>>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(CONNECTIONS as usize)), strangers: Arc::default() }
    }

    /// A place, if there is one or somebody can be sent away for it.
    pub(super) fn take(&self, certified: bool) -> Option<Place> {
        let stranger = if certified { None } else { Some(self.let_in()?) };
        Some(Place { stranger, _permit: self.free.clone().try_acquire_owned().ok()? })
    }

    fn let_in(&self) -> Option<Arc<Stranger>> {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.retain(|stranger| stranger.strong_count() > 0);
        if strangers.len() >= STRANGERS {
            let idler = strangers.iter().position(|stranger| {
                stranger.upgrade().is_some_and(|stranger| !stranger.trusted.load(Ordering::Relaxed))
            })?;
            if let Some(idler) = strangers.remove(idler).and_then(|idler| idler.upgrade()) {
                idler.leave.notify_one();
            }
        }
        let stranger = Arc::new(Stranger::default());
        strangers.push_back(Arc::downgrade(&stranger));
        Some(stranger)
    }

    /// When everybody has gone.
    pub(super) async fn empty(&self) {
        // An error is that it was closed, which nobody does.
        drop(self.free.acquire_many(CONNECTIONS).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn left(place: &Place) -> bool {
        let stranger = place.stranger.as_ref().expect("a stranger's place");
        tokio::time::timeout(std::time::Duration::ZERO, stranger.has_to_leave()).await.is_ok()
    }

    #[tokio::test]
    async fn who_has_shown_no_token_gives_way_and_nobody_else() {
        let places = Places::new();
        let held: Vec<Place> = (0..STRANGERS).map(|_| places.take(false).unwrap()).collect();
        held[0].stranger.as_ref().unwrap().trust();
        let new = places.take(false).unwrap();
        assert!(!left(&held[0]).await && left(&held[1]).await && !left(&held[2]).await);
        for place in held.iter().chain([&new]) {
            place.stranger.as_ref().unwrap().trust();
        }
        assert!(places.take(false).is_none(), "somebody who knows the token was sent away");
        drop(held);
        assert!(places.take(false).is_some());
    }

    #[tokio::test]
    async fn strangers_leave_room_for_certificates() {
        let places = Places::new();
        let held: Vec<Option<Place>> = (0..2 * STRANGERS).map(|_| places.take(false)).collect();
        assert!(held.iter().all(Option::is_some), "they take turns");
        // Those that were sent away still have their connections for a moment.
        drop(held);
        let _held: Vec<Place> = (0..STRANGERS).map(|_| places.take(false).unwrap()).collect();
        let certified = (0..CONNECTIONS as usize - STRANGERS).map(|_| places.take(true));
        assert!(certified.collect::<Vec<_>>().iter().all(Option::is_some));
    }
}
