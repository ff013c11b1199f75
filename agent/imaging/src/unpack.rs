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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::*;
    use crate::pool::Pool;

    const CODECS: [UnitCodec; 3] = [UnitCodec::Deflate, UnitCodec::Zstd, UnitCodec::ZstdHead];

    fn content(len: usize) -> Vec<u8> {
        (0..len as u64).map(|at| (at.wrapping_mul(at) >> 9) as u8 & 0x3f).collect()
    }

    fn pack(bytes: &[u8], codec: UnitCodec) -> Vec<u8> {
        if codec != UnitCodec::Deflate {
            return zstd::bulk::compress(bytes, 1).unwrap();
        }
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// In as many parts as asked for, and declared as `len` bytes.
    fn unit(packed: &[u8], parts: usize, len: usize) -> Unit {
        let pool = Pool::new(packed.len().div_ceil(1 << 20) + parts);
        let part = packed.len().div_ceil(parts).clamp(1, 1 << 20);
        let input = packed.chunks(part).map(|bytes| {
            let mut block = pool.take();
            // Not at the block's beginning.
            let at = usize::from(bytes.len() < 1 << 20);
            block[at..at + bytes.len()].copy_from_slice(bytes);
            Slice::new(Arc::new(block), at..at + bytes.len())
        });
        Unit { input: input.collect(), len: len as u64 }
    }

    fn in_one(unpacker: &mut Unpacker, unit: &Unit, codec: UnitCodec) -> io::Result<Vec<u8>> {
        let mut out = vec![0; unit.len as usize];
        unpacker.unit(unit, codec, &mut out)?;
        Ok(out)
    }

    fn in_pieces(unpacker: &mut Unpacker, unit: &Unit, codec: UnitCodec) -> io::Result<Vec<u8>> {
        let mut out = vec![0; unit.len as usize];
        let mut reader = unpacker.reader(unit, codec)?;
        for piece in out.chunks_mut(300_001) {
            reader.read_exact(piece)?;
        }
        expect_end(&mut *reader)?;
        Ok(out)
    }

    #[test]
    fn units_are_unpacked_however_they_come() {
        let mut unpacker = Unpacker::default();
        for len in [1, 512, 65536, (2 << 20) - 512, 2 << 20, (2 << 20) + 1, 5 << 20] {
            let bytes = content(len);
            for codec in CODECS.into_iter().filter(|codec| *codec != UnitCodec::ZstdHead || len <= 2 << 20) {
                let packed = pack(&bytes, codec);
                for parts in [1, 2, 7] {
                    let unit = unit(&packed, parts, len);
                    assert!(in_one(&mut unpacker, &unit, codec).unwrap() == bytes, "{codec:?} {len} {parts}");
                    let pieces = in_pieces(&mut unpacker, &unit, codec).unwrap();
                    assert!(pieces == bytes, "{codec:?} {len} {parts}");
                }
                // A qcow2 cluster is followed by whatever fills its last sector.
                let mut padded = packed.clone();
                padded.extend([0x5a; 500]);
                let unit = unit(&padded, 3, len);
                assert!(in_one(&mut unpacker, &unit, codec).unwrap() == bytes, "{codec:?} {len} padded");
                assert!(in_pieces(&mut unpacker, &unit, codec).unwrap() == bytes, "{codec:?} {len} padded");
            }
        }
    }

    #[test]
    fn what_is_too_short_is_damage() {
        let mut unpacker = Unpacker::default();
        for len in [4096, 3 << 20] {
            for codec in [UnitCodec::Deflate, UnitCodec::Zstd] {
                let packed = pack(&content(len), codec);
                for declared in [len + 1, len + 512, 2 * len] {
                    let unit = unit(&packed, 2, declared);
                    assert!(in_one(&mut unpacker, &unit, codec).is_err(), "{codec:?} {len} as {declared}");
                    assert!(in_pieces(&mut unpacker, &unit, codec).is_err(), "{codec:?} {len} as {declared}");
                }
                for cut in [0, 1, packed.len() / 2] {
                    let unit = unit(&packed[..cut], 2, len);
                    assert!(in_one(&mut unpacker, &unit, codec).is_err(), "{codec:?} {len} cut at {cut}");
                    assert!(in_pieces(&mut unpacker, &unit, codec).is_err(), "{codec:?} {len} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn what_is_too_long_is_damage_or_cut_where_that_is_meant() {
        let mut unpacker = Unpacker::default();
        for (len, declared) in [(4096, 512), (2 << 20, 1 << 20), (4 << 20, 3 << 20)] {
            let bytes = content(len);
            for codec in CODECS.into_iter().filter(|codec| *codec != UnitCodec::ZstdHead || len <= 2 << 20) {
                let unit = unit(&pack(&bytes, codec), 2, declared);
                let results = [in_one(&mut unpacker, &unit, codec), in_pieces(&mut unpacker, &unit, codec)];
                for result in results {
                    match codec {
                        UnitCodec::Zstd => assert!(result.is_err(), "{len} as {declared}"),
                        _ => assert!(result.unwrap() == bytes[..declared], "{codec:?} {len} as {declared}"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_window_beyond_the_limit_is_refused() {
        // Magic, no single segment, a window of 2^31 bytes, one empty last block.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0];
        let mut unpacker = Unpacker::default();
        let unit = unit(&frame, 1, 3 << 20);
        assert!(in_pieces(&mut unpacker, &unit, UnitCodec::Zstd).is_err());
    }
}
