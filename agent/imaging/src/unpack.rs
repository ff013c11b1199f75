//! Unpacking of single units: qcow2 clusters and zstd frames.

use std::io::{self, BufRead, Read};

use crate::codec::ZSTD_WINDOW_LOG;
use crate::extent::{Slice, Unit, UnitCodec};

/// Unpacks units one after the other.
#[derive(Default)]
pub(crate) struct Unpacker {}

impl Unpacker {
    /// Unpacks a unit that fills `out` exactly.
    pub(crate) fn unit(&mut self, unit: &Unit, codec: UnitCodec, out: &mut [u8]) -> io::Result<()> {
        let mut reader = self.reader(unit, codec)?;
        reader.read_exact(out)?;
        expect_end(&mut reader)
    }

    /// Reads a unit piece by piece.
    pub(crate) fn reader<'u>(&mut self, unit: &'u Unit, codec: UnitCodec) -> io::Result<Box<dyn Read + 'u>> {
        let slices = Slices { rest: &unit.input, at: 0 };
        Ok(match codec {
            UnitCodec::Deflate => Box::new(flate2::bufread::DeflateDecoder::new(slices)),
            UnitCodec::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(slices)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
        })
    }
}

/// Refuses a unit that unpacks to more than it declared.
pub(crate) fn expect_end(reader: &mut dyn Read) -> io::Result<()> {
    match reader.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "more comes out of it than it declares")),
    }
}

/// Slices as one reader.
struct Slices<'s> {
    rest: &'s [Slice],
    at: usize,
}

impl BufRead for Slices<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while let Some(first) = self.rest.first().filter(|first| self.at >= first.len()) {
            self.at -= first.len();
            self.rest = &self.rest[1..];
        }
        Ok(self.rest.first().map_or(&[], |first| &first[self.at..]))
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Slices<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let here = self.fill_buf()?;
        let read = here.len().min(buf.len());
        buf[..read].copy_from_slice(&here[..read]);
        self.consume(read);
        Ok(read)
    }
}
