//! Commands through the guest's second serial port.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

const TICK: Duration = Duration::from_millis(200);
/// Longest output that is taken.
const MOST: usize = 16 << 20;

/// What a command left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The port, one command at a time.
pub(super) struct Shell {
    stream: UnixStream,
    read: Vec<u8>,
    number: u64,
}

impl Shell {
    pub(super) fn new(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(TICK))?;
        Ok(Self { stream, read: Vec::new(), number: 0 })
    }

    pub(super) fn await_ready(&mut self, patience: Duration) -> Result<()> {
        let line = self.line(Instant::now() + patience)?;
        // Firmware may have painted before.
        ensure!(line.ends_with("ready"), "the guest begins with '{line}'");
        Ok(())
    }

    pub(super) fn run(&mut self, command: &str, patience: Duration) -> Result<Answer> {
        let deadline = Instant::now() + patience;
        self.number += 1;
        let number = self.number.to_string();
        writeln!(self.stream, "{number} {}", BASE64_STANDARD.encode(command))?;
        let head = self.line(deadline).with_context(|| format!("running {command}"))?;
        let words: Vec<&str> = head.split(' ').collect();
        let &[answered, code, stdout, stderr] = words.as_slice() else { bail!("the guest says '{head}'") };
        ensure!(answered == number, "the guest answers {answered}, not {number}");
        let (stdout, stderr): (usize, usize) = (stdout.parse()?, stderr.parse()?);
        ensure!(stdout + stderr <= MOST, "{command} printed {stdout} + {stderr} bytes");
        let printed =
            self.take(deadline, |read| (read.len() >= stdout + stderr).then_some(stdout + stderr))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Answer { code: code.parse()?, stdout: text(&printed[..stdout]), stderr: text(&printed[stdout..]) })
    }

    fn line(&mut self, deadline: Instant) -> Result<String> {
        let line = self.take(deadline, |read| Some(read.iter().position(|byte| *byte == b'\n')? + 1))?;
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }

    /// The first bytes, as soon as `enough` knows how many.
    fn take(&mut self, deadline: Instant, enough: impl Fn(&[u8]) -> Option<usize>) -> Result<Vec<u8>> {
        loop {
            if let Some(length) = enough(&self.read) {
                return Ok(self.read.drain(..length).collect());
            }
            let mut piece = vec![0; 64 << 10];
            match self.stream.read(&mut piece) {
                Ok(0) => bail!("the guest is gone"),
                Ok(length) => self.read.extend(&piece[..length]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    ensure!(Instant::now() < deadline, "the guest does not answer");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
