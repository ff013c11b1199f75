//! How long a blocked call may last, and who may end it sooner.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::FetchKind;
use crate::error::{Broken, chain};

/// How often a waiting fetch looks whether it is still wanted. Sockets time out after it, so that no timer is
/// needed while bytes come.
const LOOK: Duration = Duration::from_millis(100);

/// How a fetch learns that nobody wants it any more, and tells that it needs a lent connection.
pub trait Interest: Send + Sync {
    /// Asked several times a second.
    fn cancelled(&self) -> bool;
    /// Nothing else can go on until somebody lends a connection.
    fn lend_wanted(&self);
}

/// Patience of one fetcher: as long as somebody wants it, and never longer than `stall` without a byte.
#[derive(Clone)]
pub(crate) struct Patience {
    interest: Arc<dyn Interest>,
    stall: Duration,
}

impl Patience {
    pub(crate) fn new(interest: Arc<dyn Interest>, stall: Duration) -> Self {
        Self { interest, stall }
    }

    pub(crate) fn interest(&self) -> &dyn Interest {
        &*self.interest
    }

    /// Longest silence.
    pub(crate) fn stall(&self) -> Duration {
        self.stall
    }

    /// The same, giving up sooner.
    pub(crate) fn at_most(&self, stall: Duration) -> Self {
        Self::new(self.interest.clone(), self.stall.min(stall))
    }

    /// Longest time that a single call may block.
    pub(crate) fn look(&self) -> Duration {
        LOOK.min(self.stall).max(Duration::from_millis(1))
    }

    /// Whether a fetch may go on that has waited since `start` for `what`.
    pub(crate) fn check(&self, start: Instant, what: &str) -> Result<(), Broken> {
        if self.interest.cancelled() {
            return Err(Broken::cancelled());
        }
        if start.elapsed() >= self.stall {
            return Err(Broken::new(FetchKind::TimedOut, format!("{what} for {:?}", self.stall)));
        }
        Ok(())
    }

    /// Makes a call on a socket that times out after [`Self::look`], until it comes to something.
    pub(crate) fn insist<T>(
        &self,
        silence: &str,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> Result<T, Broken> {
        let mut start = None;
        if self.interest.cancelled() {
            return Err(Broken::cancelled());
        }
        loop {
            let begun = Instant::now();
            match call() {
                Ok(value) => return Ok(value),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        self.check(*start.get_or_insert(begun), silence)?;
                    }
                    io::ErrorKind::Interrupted => {}
                    _ if refuses(&error) => return Err(Broken::fatal(chain(&error))),
                    _ => return Err(Broken::retryable(chain(&error))),
                },
            }
        }
    }

    /// Waits; ends early when nobody wants the fetch any more.
    pub(crate) fn pause(&self, pause: Duration) -> Result<(), Broken> {
        let start = Instant::now();
        while let Some(left) = pause.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
            if self.interest.cancelled() {
                return Err(Broken::cancelled());
            }
            thread::sleep(left.min(LOOK));
        }
        Ok(())
    }
}

/// Whether the other end is not who it should be: no second try makes it another.
fn refuses(error: &io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}
