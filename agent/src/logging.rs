//! Log lines: to standard error (the console), and the newest ones at hand for the log bundle.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How many lines are kept.
const CAPACITY: usize = 2000;

/// The newest log lines.
#[derive(Clone, Debug, Default)]
pub struct LogRing {
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl LogRing {
    /// All kept lines, oldest first.
    pub fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    fn push(&self, line: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == CAPACITY {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }
}

/// Writes to standard error and to the ring.
#[derive(Clone, Debug)]
pub struct Tee(LogRing);

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in String::from_utf8_lossy(bytes).lines() {
            self.0.push(line);
        }
        // The line is kept. A console that is gone is no fault of the work that is logged: the subscriber would panic.
        io::stderr().write_all(bytes).unwrap_or_default();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Tee {
    type Writer = Tee;

    fn make_writer(&'a self) -> Self::Writer {
        self.clone()
    }
}

/// Sends this process's log to standard error and to the ring returned. `TACIT_LOG` chooses what is told
/// (`usual` when unset).
pub fn install(usual: &str) -> LogRing {
    let ring = LogRing::default();
    let filter = EnvFilter::try_from_env("TACIT_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let installed = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_writer(Tee(ring.clone()))
        .try_init();
    if let Err(error) = installed {
        tracing::debug!("another log is in place already: {error}");
    }
    ring
}
