//! Where a body ends, and the chunks of chunked ones (RFC 9112 §6, §7.1).

use crate::connection::Connection;
use crate::error::Broken;
use crate::head::Framing;
use crate::patience::Patience;

/// Longest line of a chunk's size or a trailer, in bytes, and most trailers.
const LINE: usize = 4 << 10;
const TRAILERS: u32 = 64;

/// What is left of a body.
#[derive(Debug)]
pub(crate) enum Rest {
    Exactly(u64),
    Chunked(Chunk),
    UntilClose,
}

/// Place within a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// Before a size.
    Size,
    /// Before so many bytes of data, never 0.
    Data(u64),
    /// Behind the data, before its line end.
    DataEnd,
    /// Behind the last chunk, so many trailers in.
    Trailers(u32),
    End,
}

impl Rest {
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Exactly(length) => Self::Exactly(length),
            Framing::Chunked => Self::Chunked(Chunk::Size),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    pub(crate) fn ended(&self) -> bool {
        matches!(self, Self::Exactly(0) | Self::Chunked(Chunk::End))
    }

    /// Reads a part of the body; 0 at its end.
    pub(crate) fn read(
        &mut self,
        connection: &mut Connection,
        buf: &mut [u8],
        patience: &Patience,
    ) -> Result<usize, Broken> {
        let early = || Broken::retryable("the connection ended within the body");
        let read = match self {
            Self::Exactly(left) => {
                let room = buf.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let read = if room == 0 { 0 } else { connection.read(&mut buf[..room], patience)? };
                if read == 0 && room > 0 {
                    return Err(early());
                }
                *left -= read as u64;
                read
            }
            Self::Chunked(chunk) => {
                while !matches!(chunk, Chunk::Data(_) | Chunk::End) {
                    if !chunk.advance(connection)? && connection.fill(patience)? == 0 {
                        return Err(early());
                    }
                }
                let Chunk::Data(left) = chunk else { return Ok(0) };
                let room = buf.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let read = connection.read(&mut buf[..room], patience)?;
                if read == 0 && room > 0 {
                    return Err(early());
                }
                *left -= read as u64;
                if *left == 0 {
                    *chunk = Chunk::DataEnd;
                    // The end may be here already, and the connection free.
                    while !matches!(chunk, Chunk::Data(_) | Chunk::End) && chunk.advance(connection)? {}
                }
                read
            }
            Self::UntilClose => connection.read(buf, patience)?,
        };
        Ok(read)
    }
}

impl Chunk {
    /// Goes over one line that is in the connection's buffer; false when it is not there as a whole.
    fn advance(&mut self, connection: &mut Connection) -> Result<bool, Broken> {
        let bytes = connection.buffered();
        let Some(end) = bytes.iter().take(LINE).position(|&byte| byte == b'\n') else {
            return if bytes.len() < LINE { Ok(false) } else { Err(damaged()) };
        };
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        *self = match *self {
            Self::Size => match chunk_size(line).ok_or_else(damaged)? {
                0 => Self::Trailers(0),
                size => Self::Data(size),
            },
            Self::DataEnd if line.is_empty() => Self::Size,
            Self::Trailers(_) if line.is_empty() => Self::End,
            Self::Trailers(seen) if seen < TRAILERS => Self::Trailers(seen + 1),
            _ => return Err(damaged()),
        };
        connection.consume(end + 1);
        Ok(true)
    }
}

fn damaged() -> Broken {
    Broken::retryable("the chunks of the body are damaged")
}

/// Hexadecimal, before extensions.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|&byte| byte == b';').next()?.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes() {
        assert_eq!(chunk_size(b"1f"), Some(31));
        assert_eq!(chunk_size(b"0"), Some(0));
        assert_eq!(chunk_size(b"10 ;name=value"), Some(16));
        for bad in ["", "+1", "-1", "x", "0x1", "11111111111111111"] {
            assert_eq!(chunk_size(bad.as_bytes()), None, "{bad}");
        }
    }
}
