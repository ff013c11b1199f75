//! How long to wait for a BMC and how often to ask it again.

use std::time::Duration;

/// How often one thing is tried, and the pause between two tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, the first included; 1 means no retry.
    pub attempts: u32,
    /// Pause between two tries.
    pub delay: Duration,
}

impl RetryPolicy {
    const fn seconds(attempts: u32, delay: u64) -> Self {
        Self { attempts, delay: Duration::from_secs(delay) }
    }
}

impl Default for RetryPolicy {
    /// What BMCs need in practice: 10 tries, 3 s apart.
    fn default() -> Self {
        Self::seconds(10, 3)
    }
}

/// Every wait of the Redfish client. The defaults suit real BMCs; tests divide them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Reads after 5xx and lost connections, and writes that certainly did not reach the BMC.
    pub reads: RetryPolicy,
    /// Writes answered with 5xx that may be repeated: power, insertion while an ejection still runs.
    pub writes: RetryPolicy,
    /// `On` answered with a conflict, as some BMCs do shortly after power-off.
    pub power_conflict: RetryPolicy,
    /// Boot override refused during the firmware's self test; the delay doubles up to [`Timing::post_delay_max`].
    pub post: RetryPolicy,
    pub post_delay_max: Duration,
    /// Until a hard power change must be seen.
    pub hard_power: Duration,
    /// Until a graceful shutdown must be seen.
    pub soft_power: Duration,
    pub power_poll: Duration,
    /// After a restart, before its effect can be told from the state before.
    pub restart_settle: Duration,
    /// Until an inserted or ejected medium must be seen, and until a task must end.
    pub media: Duration,
    pub media_poll: Duration,
    /// Upper bound for a `Retry-After` that a BMC names.
    pub retry_after_max: Duration,
    /// Establishing a connection.
    pub connect: Duration,
    /// One request with its answer.
    pub request: Duration,
    /// An insertion: some BMCs answer only when they have read the whole medium.
    pub insert_request: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            reads: RetryPolicy::default(),
            writes: RetryPolicy::seconds(3, 3),
            power_conflict: RetryPolicy::seconds(6, 10),
            post: RetryPolicy::seconds(6, 5),
            post_delay_max: seconds(30),
            hard_power: seconds(60),
            soft_power: seconds(600),
            power_poll: seconds(1),
            restart_settle: seconds(15),
            media: seconds(60),
            media_poll: seconds(2),
            retry_after_max: seconds(60),
            connect: seconds(30),
            request: seconds(60),
            insert_request: seconds(300),
        }
    }
}

impl Timing {
    /// The same number of tries with every pause and wait `divisor` times shorter. The limits of single requests stay,
    /// so that a slow machine does not turn into a time-out.
    ///
    /// # Panics
    /// When `divisor` is 0.
    #[must_use]
    pub fn divided_by(self, divisor: u32) -> Self {
        let policy = |p: RetryPolicy| RetryPolicy { attempts: p.attempts, delay: p.delay / divisor };
        Self {
            reads: policy(self.reads),
            writes: policy(self.writes),
            power_conflict: policy(self.power_conflict),
            post: policy(self.post),
            post_delay_max: self.post_delay_max / divisor,
            hard_power: self.hard_power / divisor,
            soft_power: self.soft_power / divisor,
            power_poll: self.power_poll / divisor,
            restart_settle: self.restart_settle / divisor,
            media: self.media / divisor,
            media_poll: self.media_poll / divisor,
            retry_after_max: self.retry_after_max / divisor,
            ..self
        }
    }
}
