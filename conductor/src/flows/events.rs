//! What happens to nodes, as numbered events that `tacit node watch` follows by cursor and long poll.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tacit_protocol::v2::Progress;
use tokio::sync::Notify;
use uuid::Uuid;

/// Events kept for each node.
const KEPT: usize = 512;

/// Something that happened to a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeEvent {
    pub seq: u64,
    /// Unix time.
    pub time: f64,
    /// `state`, `step-started`, `step-finished`, `progress`, `message`, `error`.
    pub kind: String,
    pub provision_state: String,
    pub target_provision_state: Option<String>,
    /// Step that runs, when there is one.
    pub step: Option<String>,
    pub message: Option<String>,
    pub progress: Option<Progress>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeEventPage {
    pub events: Vec<NodeEvent>,
    /// Cursor for the next request.
    pub last: u64,
}

/// The events of all nodes since this conductor started.
pub(super) struct EventLog {
    nodes: Mutex<HashMap<Uuid, Lane>>,
    news: Notify,
}

struct Lane {
    next: u64,
    events: VecDeque<NodeEvent>,
}

impl EventLog {
    pub(super) fn new() -> Self {
        Self { nodes: Mutex::new(HashMap::new()), news: Notify::new() }
    }

    /// Adds an event; `seq` and `time` are filled in here.
    pub(super) fn add(&self, node: Uuid, mut event: NodeEvent) {
        event.time = unix_now();
        {
            let mut nodes = self.nodes.lock().expect("no holder of the lock panics");
            let lane = nodes.entry(node).or_insert_with(Lane::new);
            event.seq = lane.next;
            lane.next += 1;
            // A newer progress event replaces the older one at the end: watchers want the newest figure.
            let newest_is_progress = lane.events.back().is_some_and(|last| last.kind == "progress");
            if event.kind == "progress" && newest_is_progress {
                lane.events.pop_back();
            }
            lane.events.push_back(event);
            if lane.events.len() > KEPT {
                lane.events.pop_front();
            }
        }
        self.news.notify_waiters();
    }

    /// Events above `after`, at once or after at most `wait`.
    pub(super) async fn after(&self, node: Uuid, after: u64, wait: Duration) -> NodeEventPage {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            // Registers for the next event before looking, so that none is missed in between.
            news.as_mut().enable();
            let page = self.page(node, after);
            if !page.events.is_empty() || tokio::time::timeout_at(deadline, news).await.is_err() {
                return page;
            }
        }
    }

    fn page(&self, node: Uuid, after: u64) -> NodeEventPage {
        let mut nodes = self.nodes.lock().expect("no holder of the lock panics");
        let lane = nodes.entry(node).or_insert_with(Lane::new);
        let events: Vec<NodeEvent> = lane.events.iter().filter(|e| e.seq > after).cloned().collect();
        NodeEventPage { events, last: lane.next - 1 }
    }
}

impl Lane {
    /// Numbers start at the clock's microseconds: they go on rising when the conductor is started again, so that a
    /// watcher's cursor stays good.
    fn new() -> Self {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_micros() as u64);
        Self { next: micros, events: VecDeque::new() }
    }
}

pub(super) fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str) -> NodeEvent {
        NodeEvent {
            seq: 0,
            time: 0.0,
            kind: kind.into(),
            provision_state: "deploying".into(),
            target_provision_state: None,
            step: None,
            message: None,
            progress: None,
        }
    }

    #[tokio::test]
    async fn long_poll_returns_when_an_event_comes() {
        let log = std::sync::Arc::new(EventLog::new());
        let node = Uuid::new_v4();
        let start = log.after(node, 0, Duration::ZERO).await.last;
        let waiting = tokio::spawn({
            let log = log.clone();
            async move { log.after(node, start, Duration::from_secs(3600)).await }
        });
        tokio::task::yield_now().await;
        log.add(node, event("state"));
        let page = waiting.await.unwrap();
        assert_eq!(page.events.len(), 1);
        assert!(log.after(node, page.last, Duration::ZERO).await.events.is_empty());
    }

    #[tokio::test]
    async fn progress_replaces_progress_and_cursors_still_work() {
        let log = EventLog::new();
        let node = Uuid::new_v4();
        log.add(node, event("step-started"));
        let first = log.after(node, 0, Duration::ZERO).await;
        for _ in 0..10 {
            log.add(node, event("progress"));
        }
        let page = log.after(node, first.last, Duration::ZERO).await;
        assert_eq!(page.events.len(), 1);
        assert_eq!(page.events[0].seq, page.last);
    }
}
