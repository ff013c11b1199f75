//! Several disks at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Most disks that are worked on at once: each waits for its device most of the time.
const MOST: usize = 16;

/// Does the work for every item, a bounded number of them at a time; results are in the items' order.
pub(crate) fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, R)>> = Mutex::default();
    let worker = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let result = work(item);
            results.lock().expect("a worker that panics takes the step with it").push((at, result));
        }
    };
    thread::scope(|scope| {
        for _ in 0..items.len().min(MOST) {
            scope.spawn(worker);
        }
    });
    let mut results = results.into_inner().expect("all workers are done");
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_in_order() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(each(&items, |item| item * 2), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert!(each(&[], |item: &usize| *item).is_empty());
    }
}
