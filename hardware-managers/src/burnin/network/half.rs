//! One half of the test: somebody connects, both ends greet, and one of them sends.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use super::super::run::Worker;
use super::stream::Stream;
use super::wire::{self, BLOCK, Direction, HELLO, Hello, RECEIPT};

/// A stream has failed on which a block takes longer, and one that goes on for longer than its time and this.
const STALL: Duration = Duration::from_secs(30);
/// A caller that has not joined both ends by then is let go, and may come again.
const GREETING: Duration = Duration::from_secs(60);
/// How often a listener without a caller looks at the clock.
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct Half<'s> {
    pub(super) worker: &'s Worker,
    pub(super) listener: &'s TcpListener,
    /// Who may connect.
    pub(super) caller: IpAddr,
    pub(super) hello: Hello,
    /// How long a caller is waited for.
    pub(super) patience: Duration,
}

/// What a half has carried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    pub(super) direction: Direction,
    pub(super) bytes: u64,
    pub(super) time: Duration,
}

impl Half<'_> {
    /// # Errors
    ///
    /// What went wrong, in words for people; [`ErrorKind::Interrupted`] when the step is to stop.
    pub(super) fn run(&self) -> io::Result<Carried> {
        let mut stream = self.greet()?;
        let begin = Instant::now();
        let blocks = match self.hello.direction {
            Direction::Send => self.send(&mut stream)?,
            Direction::Receive => self.receive(&mut stream)?,
        };
        let bytes = blocks.saturating_mul(BLOCK as u64);
        Ok(Carried { direction: self.hello.direction, bytes, time: begin.elapsed() })
    }

    fn runtime(&self) -> Duration {
        Duration::from_millis(self.hello.runtime_ms)
    }

    /// A connection whose other end has greeted. One that breaks before that was not joined yet: the next one counts.
    fn greet(&self) -> io::Result<Stream<'_>> {
        self.listener.set_nonblocking(true)?;
        let begin = Instant::now();
        let mut last = None;
        loop {
            let left = self.patience.saturating_sub(begin.elapsed());
            if left.is_zero() {
                let why = last.map_or_else(String::new, |why| format!("; of the last that did: {why}"));
                let text = format!("nobody joined the two ends within {} s{why}", self.patience.as_secs());
                return Err(io::Error::new(ErrorKind::TimedOut, text));
            }
            let Some(mut stream) = self.accept()? else {
                thread::sleep(LOOK);
                continue;
            };
            let mut theirs = [0; HELLO];
            let due = Instant::now() + GREETING.min(left);
            match stream.write(&self.hello.bytes(), due).and_then(|()| stream.read(&mut theirs, due)) {
                Ok(()) if Hello::is_one(&theirs) => {
                    self.hello.fits(&theirs).map_err(io::Error::other)?;
                    return Ok(stream);
                }
                Ok(()) => last = Some("it says what is no greeting".to_owned()),
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                Err(error) => last = Some(error.to_string()),
            }
        }
    }

    /// A caller's connection, if there is one. Those of strangers are closed.
    fn accept(&self) -> io::Result<Option<Stream<'_>>> {
        if self.worker.is_stopped() {
            return Err(io::Error::new(ErrorKind::Interrupted, "stopped"));
        }
        match self.listener.accept() {
            Ok((socket, from)) if from.ip().to_canonical() == self.caller.to_canonical() => {
                Stream::new(self.worker, socket).map(Some)
            }
            Ok((_, from)) => {
                tracing::warn!("{from} is not {}: closed", self.caller);
                Ok(None)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Until the time is over; then the other end says how much it got.
    fn send(&self, stream: &mut Stream<'_>) -> io::Result<u64> {
        let end = Instant::now() + self.runtime();
        let last = end + STALL;
        let mut block = vec![0; BLOCK];
        let mut count = 0;
        while Instant::now() < end {
            wire::make(&mut block, count);
            stream.write(&block, soon(last))?;
            self.worker.add(BLOCK as u64);
            count += 1;
        }
        wire::make_last(&mut block, count);
        stream.write(&block, last)?;
        let mut receipt = [0; RECEIPT];
        stream.read(&mut receipt, last)?;
        if receipt == wire::receipt(count) {
            Ok(count)
        } else {
            Err(io::Error::other(format!("the other end does not confirm the {count} blocks")))
        }
    }

    /// Until the other end says that it was all.
    fn receive(&self, stream: &mut Stream<'_>) -> io::Result<u64> {
        let last = Instant::now() + self.runtime() + STALL;
        let mut block = vec![0; BLOCK];
        let mut count = 0;
        loop {
            if Instant::now() >= last {
                return Err(io::Error::new(ErrorKind::TimedOut, "the other end does not come to an end"));
            }
            stream.read(&mut block, soon(last))?;
            if wire::check(&block, count)? {
                stream.write(&wire::receipt(count), last)?;
                return Ok(count);
            }
            self.worker.add(BLOCK as u64);
            count += 1;
        }
    }
}

/// When a block has to have gone through that begins now.
fn soon(last: Instant) -> Instant {
    last.min(Instant::now() + STALL)
}
