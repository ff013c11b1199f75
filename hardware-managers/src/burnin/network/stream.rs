//! A connection on which nothing waits for long: whoever wants the step to stop is heard, and being slow is a failure.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::super::run::Worker;

/// How long a wish to stop may go unnoticed.
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct Stream<'s> {
    worker: &'s Worker,
    socket: TcpStream,
}

impl<'s> Stream<'s> {
    pub(super) fn new(worker: &'s Worker, socket: TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(LOOK))?;
        socket.set_write_timeout(Some(LOOK))?;
        // The last words are short, and waited for.
        socket.set_nodelay(true)?;
        Ok(Self { worker, socket })
    }

    /// Fills `bytes`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Interrupted`] when the step is to stop, [`ErrorKind::TimedOut`] when not all of them are there at
    /// `due`, [`ErrorKind::UnexpectedEof`].
    pub(super) fn read(&mut self, bytes: &mut [u8], due: Instant) -> io::Result<()> {
        let mut done = 0;
        self.all(bytes.len(), due, |socket| {
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
    pub(super) fn write(&mut self, bytes: &[u8], due: Instant) -> io::Result<()> {
        let mut done = 0;
        self.all(bytes.len(), due, |socket| {
            let written = socket.write(&bytes[done..])?;
            done += written;
            Ok(written)
        })
    }

    fn all(
        &mut self,
        wanted: usize,
        due: Instant,
        mut some: impl FnMut(&mut TcpStream) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < wanted {
            if self.worker.is_stopped() {
                return Err(io::Error::new(ErrorKind::Interrupted, "stopped"));
            }
            // Also while bytes come: one at a time would keep a block open for weeks.
            if Instant::now() >= due {
                let text = format!("only {done} of {wanted} bytes went through in time");
                return Err(io::Error::new(ErrorKind::TimedOut, text));
            }
            match some(&mut self.socket) {
                Ok(0) => {
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed"));
                }
                Ok(count) => done += count,
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
