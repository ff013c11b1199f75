//! The numbered events: a ring buffer with a cursor and a bell.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tacit_protocol::v2::{Event, EventKind, EventPage};
use tokio::sync::watch;

use crate::clock::unix_time;

/// How many events are kept.
const CAPACITY: usize = 4096;

/// All events since the agent began, the newest [`CAPACITY`] of them at hand.
#[derive(Debug)]
pub struct EventLog {
    boot_id: String,
    ring: Mutex<VecDeque<Event>>,
    last: watch::Sender<u64>,
}

impl EventLog {
    pub fn new(boot_id: String) -> Self {
        Self { boot_id, ring: Mutex::default(), last: watch::Sender::new(0) }
    }

    /// Appends an event and wakes those who wait.
    pub fn push(&self, operation: Option<&str>, kind: EventKind) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = *self.last.borrow() + 1;
        if ring.len() == CAPACITY {
            ring.pop_front();
        }
        ring.push_back(Event { seq, time: unix_time(), operation: operation.map(str::to_owned), kind });
        self.last.send_replace(seq);
    }

    /// Number of the newest event; 0 before the first.
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// Events above `after`, as they are now.
    pub fn page(&self, after: u64) -> EventPage {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = *self.last.borrow();
        // A cursor from before a restart of the agent lies above everything: begin anew.
        let after = if after > newest { 0 } else { after };
        let events: Vec<Event> = ring.iter().filter(|event| event.seq > after).cloned().collect();
        let first = events.first().map_or(newest + 1, |event| event.seq);
        EventPage { boot_id: self.boot_id.clone(), last: newest, lost: first - after - 1, events }
    }

    /// Events above `after`, at once or as soon as there is one, at most `wait` later.
    pub async fn wait_page(&self, after: u64, wait: Duration) -> EventPage {
        let mut bell = self.last.subscribe();
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            bell.borrow_and_update();
            let page = self.page(after);
            if !page.events.is_empty() {
                return page;
            }
            match tokio::time::timeout_at(deadline, bell.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return page,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_drops_the_oldest_and_says_how_many() {
        let log = EventLog::new("boot".into());
        for _ in 0..CAPACITY + 10 {
            log.push(None, EventKind::LendWanted);
        }
        let page = log.page(0);
        assert_eq!(page.events.len(), CAPACITY);
        assert_eq!(page.lost, 10);
        assert_eq!(page.events[0].seq, 11);
        assert_eq!(page.last, CAPACITY as u64 + 10);
        assert_eq!(log.page(page.last).events.len(), 0);
        assert_eq!(log.page(page.last).lost, 0);
        assert_eq!(log.page(page.last - 1).events.len(), 1);
    }

    #[test]
    fn a_cursor_of_another_life_begins_anew() {
        let log = EventLog::new("boot".into());
        log.push(Some("a"), EventKind::LendWanted);
        assert_eq!(log.page(900).events.len(), 1);
    }

    #[tokio::test]
    async fn a_waiter_is_woken_by_the_first_event() {
        let log = std::sync::Arc::new(EventLog::new("boot".into()));
        let waiter = tokio::spawn({
            let log = log.clone();
            async move { log.wait_page(0, Duration::from_secs(30)).await }
        });
        tokio::task::yield_now().await;
        log.push(None, EventKind::LendWanted);
        assert_eq!(waiter.await.unwrap().events.len(), 1);
    }
}
