//! A connection on which nothing waits for long: whoever wants the step to stop is heard, and silence is a failure.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::super::run::Shared;

/// How long a wish to stop may go unnoticed.
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct Stream<'s> {
    shared: &'s Shared,
    socket: TcpStream,
}

impl<'s> Stream<'s> {
    pub(super) fn new(shared: &'s Shared, socket: TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(LOOK))?;
        socket.set_write_timeout(Some(LOOK))?;
        // The last words are short, and waited for.
        socket.set_nodelay(true)?;
        Ok(Self { shared, socket })
    }

    /// Fills `bytes`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Interrupted`] when the step is to stop, [`ErrorKind::TimedOut`] after `silence` without a byte,
    /// [`ErrorKind::UnexpectedEof`].
    pub(super) fn read(&mut self, bytes: &mut [u8], silence: Duration) -> io::Result<()> {
        let mut done = 0;
        self.all(bytes.len(), silence, |socket| {
            let read = socket.read(&mut bytes[done..])?;
            done += read;
            Ok(read)
        })
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    ///
    /// As [`Stream::read`].
    pub(super) fn write(&mut self, bytes: &[u8], silence: Duration) -> io::Result<()> {
        let mut done = 0;
        self.all(bytes.len(), silence, |socket| {
            let written = socket.write(&bytes[done..])?;
            done += written;
            Ok(written)
        })
    }

    fn all(
        &mut self,
        wanted: usize,
        silence: Duration,
        mut some: impl FnMut(&mut TcpStream) -> io::Result<usize>,
    ) -> io::Result<()> {
        let (mut done, mut heard) = (0, Instant::now());
        while done < wanted {
            if self.shared.is_stopped() {
                return Err(io::Error::new(ErrorKind::Interrupted, "stopped"));
            }
            match some(&mut self.socket) {
                Ok(0) => {
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed"));
                }
                Ok(count) => {
                    done += count;
                    heard = Instant::now();
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if heard.elapsed() >= silence {
                        let text = format!("nothing went through for {} s", silence.as_secs());
                        return Err(io::Error::new(ErrorKind::TimedOut, text));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
