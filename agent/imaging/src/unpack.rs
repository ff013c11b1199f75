//! Unpacking of single units: qcow2 clusters and zstd frames.

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};
use zstd::zstd_safe::{self, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use crate::codec::ZSTD_WINDOW_LOG;
use crate::extent::{Slice, Unit, UnitCodec};

/// Longest unit that is unpacked in one go although it is read in pieces: the largest cluster. A window, which a frame
/// declares as it likes, is then not needed.
const HELD: u64 = 2 << 20;

/// Unpacks units one after the other, and keeps for the next one what is costly to make. For one thread.
#[derive(Default)]
pub(crate) struct Unpacker {
    inflate: Option<Decompress>,
    zstd: Option<DCtx<'static>>,
    /// Input that came in parts.
    joined: Vec<u8>,
    /// Output that is read in pieces.
    held: Vec<u8>,
}

impl Unpacker {
    /// Unpacks a unit that fills `out` exactly.
    ///
    /// # Errors
    ///
    /// Damage: also when `out` has another length than the unit declares, or another one comes out of it.
    pub(crate) fn unit(&mut self, unit: &Unit, codec: UnitCodec, out: &mut [u8]) -> io::Result<()> {
        if out.len() as u64 != unit.len {
            return Err(damage("its length is not the one declared"));
        }
        match (codec, unit.input.as_slice()) {
            (_, [input]) => self.bytes(input, codec, out),
            (UnitCodec::Deflate, input) => self.inflate(input.iter().map(|slice| &**slice), out),
            (UnitCodec::Zstd | UnitCodec::ZstdHead, input) => {
                let mut joined = std::mem::take(&mut self.joined);
                joined.clear();
                for slice in input {
                    joined.extend_from_slice(slice);
                }
                let result = self.bytes(&joined, codec, out);
                self.joined = joined;
                result
            }
        }
    }

    /// Unpacks what lies in one piece, so that it fills `out` exactly.
    ///
    /// # Errors
    ///
    /// Damage: also when another length comes out of it.
    pub(crate) fn bytes(&mut self, input: &[u8], codec: UnitCodec, out: &mut [u8]) -> io::Result<()> {
        match codec {
            UnitCodec::Deflate => self.inflate(std::iter::once(input), out),
            UnitCodec::Zstd => {
                let written = self.frame(input, out)?;
                if written == out.len() {
                    Ok(())
                } else {
                    Err(damage("less comes out of it than it declares"))
                }
            }
            UnitCodec::ZstdHead => {
                let mut held = std::mem::take(&mut self.held);
                held.resize(HELD as usize, 0);
                let result = self.frame(input, &mut held).and_then(|written| {
                    let head = held[..written].get(..out.len());
                    out.copy_from_slice(head.ok_or_else(|| damage("less comes out of it than it declares"))?);
                    Ok(())
                });
                self.held = held;
                result
            }
        }
    }

    /// Reads a unit piece by piece: exactly as many bytes as it declares, then one more call (which returns zero)
    /// says whether that was all of it.
    ///
    /// # Errors
    ///
    /// Damage, as far as it shows before the first byte.
    pub(crate) fn reader<'u>(
        &'u mut self,
        unit: &'u Unit,
        codec: UnitCodec,
    ) -> io::Result<Box<dyn Read + 'u>> {
        let input = Parts { rest: &unit.input, at: 0 };
        Ok(match codec {
            UnitCodec::Deflate => {
                let inflate = self.inflate.get_or_insert_with(|| Decompress::new(false));
                inflate.reset(false);
                Box::new(InflateReader { inflate, input, left: unit.len })
            }
            _ if unit.len <= HELD => {
                let mut held = std::mem::take(&mut self.held);
                held.resize(HELD as usize, 0);
                let result = self.unit(unit, codec, &mut held[..unit.len as usize]);
                self.held = held;
                result?;
                Box::new(&self.held[..unit.len as usize])
            }
            _ => {
                let zstd = context(&mut self.zstd)?;
                zstd.reset(ResetDirective::SessionOnly).map_err(zstd_error)?;
                Box::new(ZstdReader { zstd, input, left: unit.len, ended: false })
            }
        })
    }

    /// What one frame holds, at the beginning of `out`; returns how much. Nothing behind the frame is looked at.
    fn frame(&mut self, input: &[u8], out: &mut [u8]) -> io::Result<usize> {
        let zstd = context(&mut self.zstd)?;
        let len = zstd_safe::find_frame_compressed_size(input).map_err(zstd_error)?;
        zstd.decompress(out, &input[..len]).map_err(zstd_error)
    }

    /// Fills `out`; nothing that follows is looked at, as QEMU does not either.
    fn inflate<'i>(&mut self, parts: impl Iterator<Item = &'i [u8]>, out: &mut [u8]) -> io::Result<()> {
        let inflate = self.inflate.get_or_insert_with(|| Decompress::new(false));
        inflate.reset(false);
        let mut parts = parts.peekable();
        let mut filled = 0;
        while let Some(part) = parts.next() {
            // Without a window of its own, when nothing else follows.
            let flush = if parts.peek().is_none() { FlushDecompress::Finish } else { FlushDecompress::None };
            let (_, written, ended) = step(inflate, part, &mut out[filled..], flush)?;
            filled += written;
            if ended || filled == out.len() {
                break;
            }
        }
        if filled == out.len() { Ok(()) } else { Err(damage("less comes out of it than it declares")) }
    }
}

fn context<'z>(zstd: &'z mut Option<DCtx<'static>>) -> io::Result<&'z mut DCtx<'static>> {
    match zstd {
        Some(zstd) => Ok(zstd),
        None => {
            let mut new = DCtx::create();
            new.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).map_err(zstd_error)?;
            Ok(zstd.insert(new))
        }
    }
}

fn damage(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn zstd_error(code: usize) -> io::Error {
    damage(zstd_safe::get_error_name(code))
}

/// Unpacks as far as input or output go; returns what was read and written, and whether the stream ended.
fn step(
    inflate: &mut Decompress,
    input: &[u8],
    out: &mut [u8],
    flush: FlushDecompress,
) -> io::Result<(usize, usize, bool)> {
    let (mut read, mut written) = (0, 0);
    loop {
        let before = (inflate.total_in(), inflate.total_out());
        let status = inflate
            .decompress(&input[read..], &mut out[written..], flush)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let (took, gave) =
            ((inflate.total_in() - before.0) as usize, (inflate.total_out() - before.1) as usize);
        read += took;
        written += gave;
        let ended = status == Status::StreamEnd;
        if ended || took + gave == 0 || written == out.len() {
            return Ok((read, written, ended));
        }
    }
}

/// Refuses a unit that unpacks to more than it declared.
pub(crate) fn expect_end(reader: &mut dyn Read) -> io::Result<()> {
    match reader.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(damage("more comes out of it than it declares")),
    }
}

/// Input of which a part was read.
struct Parts<'u> {
    rest: &'u [Slice],
    at: usize,
}

impl Parts<'_> {
    /// What comes next; empty at the end.
    fn now(&mut self) -> &[u8] {
        while let Some(first) = self.rest.first().filter(|first| self.at == first.len()) {
            self.at -= first.len();
            self.rest = &self.rest[1..];
        }
        self.rest.first().map_or(&[], |first| &first[self.at..])
    }
}

struct InflateReader<'u> {
    inflate: &'u mut Decompress,
    input: Parts<'u>,
    left: u64,
}

impl Read for InflateReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let want = self.left.min(out.len() as u64) as usize;
        let mut filled = 0;
        while filled < want {
            let input = self.input.now();
            let at_end = input.is_empty();
            let (read, written, ended) =
                step(self.inflate, input, &mut out[filled..want], FlushDecompress::None)?;
            self.input.at += read;
            filled += written;
            if filled < want && (ended || at_end || read + written == 0) {
                return Err(damage("less comes out of it than it declares"));
            }
        }
        self.left -= filled as u64;
        Ok(filled)
    }
}

struct ZstdReader<'u> {
    zstd: &'u mut DCtx<'static>,
    input: Parts<'u>,
    left: u64,
    ended: bool,
}

impl Read for ZstdReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // At the declared end: whether the frame ends as well.
        let mut more = [0];
        let at_end = self.left == 0;
        let out = if at_end { &mut more } else { out };
        let want = if at_end { 1 } else { self.left.min(out.len() as u64) as usize };
        let mut filled = 0;
        while filled < want && !self.ended {
            let input = self.input.now();
            let here = input.len();
            let mut from = InBuffer::around(input);
            let mut to = OutBuffer::around(&mut out[filled..want]);
            let hint = self.zstd.decompress_stream(&mut to, &mut from).map_err(zstd_error)?;
            let (read, written) = (from.pos, to.pos());
            self.ended = hint == 0;
            self.input.at += read;
            filled += written;
            if here == 0 && read + written == 0 && !self.ended {
                return Err(damage("it is cut"));
            }
        }
        match (at_end, filled) {
            (true, 0) => Ok(0),
            (true, _) => Err(damage("more comes out of it than it declares")),
            (false, _) if filled < want => Err(damage("less comes out of it than it declares")),
            (false, _) => {
                self.left -= filled as u64;
                Ok(filled)
            }
        }
    }
}
