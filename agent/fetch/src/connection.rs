//! One connection on which requests can be sent, whoever dialled it.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;

use rustls::{ClientConnection, ServerConnection, StreamOwned};

use crate::error::Broken;
use crate::patience::Patience;

/// Room for a response's head, and for bodies that are asked for in small pieces.
const BUFFER: usize = 32 << 10;
/// What is read from a socket at once below TLS, which itself asks for 4 KiB at a time.
const WIRE_BUFFER: usize = 128 << 10;
/// Room in the reader's own memory from which on the connection's buffer is only in the way.
const DIRECT: usize = 16 << 10;

/// A socket below TLS.
#[derive(Debug)]
pub(crate) struct Wire(BufReader<TcpStream>);

impl Wire {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self(BufReader::with_capacity(WIRE_BUFFER, socket))
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    /// Dialled.
    Client(Box<StreamOwned<ClientConnection, Wire>>),
    /// Lent: the roles in TLS are those of who dialled, the other way round than in HTTP.
    Server(Box<StreamOwned<ServerConnection, Wire>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Client(stream) => stream.sock.0.get_ref(),
            Self::Server(stream) => stream.sock.0.get_ref(),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(socket) => socket,
            Self::Client(stream) => stream,
            Self::Server(stream) => stream,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buf),
            Self::Client(stream) => stream.read(buf),
            Self::Server(stream) => stream.read(buf),
        }
    }
}

/// A connection, and what was read from it beyond what was asked for.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    /// How much of the buffer was handed out.
    taken: usize,
    /// Requests sent so far.
    pub(crate) requests: u64,
}

impl Connection {
    /// `early` are bytes that were read from the stream already.
    pub(crate) fn new(stream: Stream, early: Vec<u8>) -> Self {
        Self { stream, buffer: early, taken: 0, requests: 0 }
    }

    /// Bytes read and not handed out.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    /// Marks buffered bytes as handed out.
    pub(crate) fn consume(&mut self, count: usize) {
        self.taken += count;
        if self.taken == self.buffer.len() {
            self.buffer.clear();
            self.taken = 0;
        }
    }

    /// Reads something behind the buffered bytes; 0 at the end of the connection.
    pub(crate) fn fill(&mut self, patience: &Patience) -> Result<usize, Broken> {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        let have = self.buffer.len();
        self.buffer.resize(have + BUFFER, 0);
        let read = patience.insist("no byte came", || self.stream.read(&mut self.buffer[have..]));
        self.buffer.truncate(have + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Reads into `buf`, by way of the buffer only where that saves calls.
    pub(crate) fn read(&mut self, buf: &mut [u8], patience: &Patience) -> Result<usize, Broken> {
        if self.buffered().is_empty() {
            if buf.len() >= DIRECT {
                return patience.insist("no byte came", || self.stream.read(buf));
            }
            self.fill(patience)?;
        }
        let count = buf.len().min(self.buffered().len());
        buf[..count].copy_from_slice(&self.buffered()[..count]);
        self.consume(count);
        Ok(count)
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, mut bytes: &[u8], patience: &Patience) -> Result<(), Broken> {
        let look = Some(patience.look());
        let socket = self.stream.socket();
        let prepared = socket
            .set_nonblocking(false)
            .and_then(|()| socket.set_read_timeout(look))
            .and_then(|()| socket.set_write_timeout(look));
        prepared.map_err(|error| Broken::retryable(error.to_string()))?;
        self.requests += 1;
        let stream = self.stream.writer();
        while !bytes.is_empty() {
            match patience.insist("the request cannot be sent", || stream.write(bytes))? {
                0 => return Err(Broken::retryable("the connection was closed")),
                written => bytes = &bytes[written..],
            }
        }
        patience.insist("the request cannot be sent", || stream.flush())
    }

    /// Whether nothing came on it while nobody was waiting: an end, or bytes that answer nothing.
    pub(crate) fn is_silent(&mut self) -> bool {
        if !self.buffered().is_empty() || self.stream.socket().set_nonblocking(true).is_err() {
            return false;
        }
        let silent = matches!(
            self.stream.read(&mut [0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock
        );
        silent && self.stream.socket().set_nonblocking(false).is_ok()
    }
}
