//! The server's serial port: every line with the time at which it appeared.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};

/// A finished or growing line without control characters.
#[derive(Clone, Debug, PartialEq)]
pub struct SerialLine {
    pub at: SystemTime,
    pub text: String,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<SerialLine>,
    stopped: bool,
}

/// Follows the file that the virtual serial port writes.
#[derive(Debug)]
pub struct Serial {
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Serial {
    pub(super) fn follow(path: &Path) -> Result<Self> {
        let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let shared = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("serial".into())
            .spawn(move || {
                let mut partial = Vec::new();
                loop {
                    let mut chunk = Vec::new();
                    let read = file.read_to_end(&mut chunk);
                    let mut state = lock(&theirs.0);
                    if state.stopped || read.is_err() {
                        return;
                    }
                    for byte in chunk {
                        if byte != b'\n' {
                            partial.push(byte);
                            continue;
                        }
                        let text = readable(&std::mem::take(&mut partial));
                        state.lines.push(SerialLine { at: SystemTime::now(), text });
                        theirs.1.notify_all();
                    }
                    drop(state);
                    // A plain file cannot be waited on without inotify; this is the resolution of the times.
                    std::thread::sleep(Duration::from_millis(20));
                }
            })
            .context("starting the serial thread")?;
        Ok(Self { shared })
    }

    /// How many lines there were so far: the `since` of a later wait.
    pub fn mark(&self) -> usize {
        lock(&self.shared.0).lines.len()
    }

    /// The first line from `since` on that contains `pattern`, as soon as it is there.
    pub fn wait_for_line(&self, pattern: &str, since: usize, timeout: Duration) -> Result<SerialLine> {
        let deadline = Instant::now() + timeout;
        let mut state = lock(&self.shared.0);
        loop {
            let found = state.lines.iter().skip(since).find(|line| line.text.contains(pattern));
            if let Some(line) = found {
                return Ok(line.clone());
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                let last: Vec<_> = state.lines.iter().rev().take(15).map(|line| line.text.as_str()).collect();
                let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
                bail!(
                    "no line with '{pattern}' on the serial port within {timeout:?}; its last lines:\n{last}"
                );
            };
            state = self.shared.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Everything so far.
    pub fn lines(&self) -> Vec<SerialLine> {
        lock(&self.shared.0).lines.clone()
    }
}

impl Drop for Serial {
    fn drop(&mut self) {
        lock(&self.shared.0).stopped = true;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Text without terminal control: firmware paints its messages.
fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            if chars.next_if_eq(&'[').is_some() {
                while chars.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
            }
        } else if !c.is_control() {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_control_is_taken_out() {
        assert_eq!(readable(b"\x1b[2J\x1b[01;01HBdsDxe: loading\r"), "BdsDxe: loading");
    }
}
