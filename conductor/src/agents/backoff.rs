//! Waiting between attempts, longer each time and never in step with others.

use std::time::Duration;

use uuid::Uuid;

#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The next delay: doubled each time up to the longest, give or take a quarter.
    pub(crate) fn delay(&mut self) -> Duration {
        let base = self.next;
        self.next = (self.next * 2).min(self.longest);
        // The last byte of a random UUID is random.
        let part = f64::from(Uuid::new_v4().as_bytes()[15]) / 255.0;
        base.mul_f64(0.75 + part / 2.0)
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for base in [100, 200, 350, 350] {
            let delay = backoff.delay().as_millis();
            assert!((base * 3 / 4..=base * 5 / 4).contains(&delay), "{delay} around {base}");
        }
        backoff.reset();
        assert!(backoff.delay() <= Duration::from_millis(125));
    }
}
