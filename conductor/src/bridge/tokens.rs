//! Tokens that Ironic has told, and that are in no session yet.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::secret;

/// An operation that has waited for so long for its agent has failed.
const HOLDS: Duration = Duration::from_secs(3600);

/// Ironic tells each token once, perhaps to a leader that finds another node's machine at its address, or to one that
/// ends before the token is on disk. What it told waits here for the node's own leader. There are not more than Ironic
/// makes: one a node.
#[derive(Default)]
pub(super) struct Untaken {
    tokens: Mutex<HashMap<Uuid, (String, Instant)>>,
}

impl Untaken {
    /// Keeps a token until it is taken; an older one of the node is worth nothing any more.
    pub(super) fn keep(&self, node: Uuid, token: &str) {
        self.lock().insert(node, (token.to_owned(), Instant::now()));
    }

    /// The token that Ironic told last, if nobody has taken it.
    pub(super) fn find(&self, node: Uuid) -> Option<String> {
        self.lock().get(&node).map(|(token, _)| token.clone())
    }

    /// To be called when a session with it is on disk. A newer one stays.
    pub(super) fn taken(&self, node: Uuid, token: &str) {
        let mut tokens = self.lock();
        if tokens.get(&node).is_some_and(|(kept, _)| secret::equal(kept, token)) {
            tokens.remove(&node);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, (String, Instant)>> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, (_, told)| told.elapsed() < HOLDS);
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_token_of_a_node_is_kept_for_an_hour_and_taken_once() {
        let (untaken, one, two) = (Untaken::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        untaken.keep(one, "older");
        untaken.keep(one, "newer");
        assert_eq!((untaken.find(one).as_deref(), untaken.find(two)), (Some("newer"), None));
        untaken.taken(one, "older");
        assert!(untaken.find(one).is_some());
        untaken.taken(one, "newer");
        assert!(untaken.find(one).is_none());
        untaken.keep(two, "third");
        tokio::time::advance(HOLDS / 2).await;
        assert!(untaken.find(two).is_some());
        tokio::time::advance(HOLDS / 2).await;
        assert!(untaken.find(two).is_none());
    }
}
