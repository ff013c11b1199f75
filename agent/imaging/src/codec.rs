//! Decoders of packed images: bytes as served in, blocks of the disk image out.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

use crossbeam_channel::Receiver;

use crate::extent::Slice;
use crate::fetch::Stop;
use crate::pool::Pool;
use crate::sniff::Codec;

/// A piece of a stream on its way between threads. A channel that closes without an `End` was abandoned.
#[derive(Clone)]
pub(crate) enum Piece {
    Data {
        /// In the stream.
        offset: u64,
        bytes: Slice,
    },
    End,
}

/// Largest zstd window, as a power of two: 128 MiB, what `zstd -d` accepts without `--long`.
pub(crate) const ZSTD_WINDOW_LOG: u32 = 27;
/// Largest memory for an xz decoder: a 64 MiB dictionary (`xz -9`) and its state.
const XZ_MEMORY: u64 = 80 << 20;
/// Decoded blocks on their way to the disk.
pub(crate) const BLOCKS: usize = 6;

/// Why decoding ended early.
pub(crate) enum DecodeStop {
    /// The stream itself is wrong, after so many decoded bytes.
    Damaged { decoded: u64, source: io::Error },
    /// Whoever takes the blocks wants no more.
    Stopped(Stop),
}

impl From<Stop> for DecodeStop {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

/// Takes a block at its offset in the image.
pub(crate) type Emit<'e> = dyn FnMut(u64, Slice) -> Result<(), Stop> + 'e;

/// Decodes until the stream ends, and returns the length of the image. All of the input must belong to it.
pub(crate) fn unpack(codec: Codec, input: &mut Input, emit: &mut Emit<'_>) -> Result<u64, DecodeStop> {
    let pool = Pool::new(BLOCKS);
    let damaged = |decoded| move |source| DecodeStop::Damaged { decoded, source };
    let mut decoder = decoder(codec, &mut *input).map_err(damaged(0))?;
    let decoded = drain(&mut *decoder, &pool, 0, emit)?;
    drop(decoder);
    if !input.at_end().map_err(damaged(decoded))? {
        let source = io::Error::new(io::ErrorKind::InvalidData, "other bytes follow its end");
        return Err(DecodeStop::Damaged { decoded, source });
    }
    Ok(decoded)
}

/// Passes on what a decoder gives, from `offset` on, in blocks that are full but for the last; returns the end.
pub(crate) fn drain(
    decoder: &mut dyn Read,
    pool: &Pool,
    mut offset: u64,
    emit: &mut Emit<'_>,
) -> Result<u64, DecodeStop> {
    loop {
        let mut block = pool.take();
        let (filled, result) = fill(decoder, &mut block);
        if let Err(source) = result {
            return Err(DecodeStop::Damaged { decoded: offset + filled as u64, source });
        }
        if filled > 0 {
            emit(offset, Slice::new(Arc::new(block), 0..filled))?;
            offset += filled as u64;
        }
        if filled < crate::pool::BLOCK {
            return Ok(offset);
        }
    }
}

/// Reads until `buf` is full or the stream ends or breaks.
fn fill(from: &mut dyn Read, buf: &mut [u8]) -> (usize, io::Result<()>) {
    let mut filled = 0;
    while filled < buf.len() {
        match from.read(&mut buf[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Err(error)),
        }
    }
    (filled, Ok(()))
}

/// The first bytes of the image that a stream with this beginning holds: as many as its beginning tells, at most
/// `limit`. Where nothing comes out, the reason.
pub(crate) fn decode_head(codec: Codec, head: &[u8], limit: usize) -> io::Result<Vec<u8>> {
    let mut decoded = vec![0; limit];
    let mut input = head;
    let (filled, result) = fill(&mut *decoder(codec, &mut input)?, &mut decoded);
    match result {
        Err(error) if filled == 0 => Err(error),
        // The beginning ends somewhere; whether the stream is whole is seen when all of it is decoded.
        _ => {
            decoded.truncate(filled);
            Ok(decoded)
        }
    }
}

fn decoder<'a>(codec: Codec, input: &'a mut dyn BufRead) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match codec {
        Codec::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Codec::Xz => {
            let stream =
                liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        Codec::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum InputState {
    Open,
    Ended,
    Abandoned,
}

/// The stream as served, as a reader.
pub(crate) struct Input {
    pieces: Receiver<Piece>,
    /// Looked at already and not used up.
    ahead: VecDeque<Slice>,
    /// How much of the first of them is used up.
    at: usize,
    state: InputState,
}

impl Input {
    pub(crate) fn new(pieces: Receiver<Piece>) -> Self {
        Self { pieces, ahead: VecDeque::new(), at: 0, state: InputState::Open }
    }

    pub(crate) fn abandoned(&self) -> bool {
        self.state == InputState::Abandoned
    }

    /// Whether everything is used up.
    pub(crate) fn at_end(&mut self) -> io::Result<bool> {
        Ok(self.fill_buf()?.is_empty())
    }

    /// Waits for one more piece; false at the stream's end.
    fn receive(&mut self) -> io::Result<bool> {
        if self.state == InputState::Open {
            match self.pieces.recv() {
                Ok(Piece::Data { bytes, .. }) => {
                    self.ahead.push_back(bytes);
                    return Ok(true);
                }
                Ok(Piece::End) => self.state = InputState::Ended,
                Err(_) => self.state = InputState::Abandoned,
            }
        }
        if self.state == InputState::Abandoned {
            return Err(io::Error::other("the stream was abandoned"));
        }
        Ok(false)
    }

    /// The next `len` bytes without using them up, in slices; fewer at the stream's end.
    pub(crate) fn peek(&mut self, len: usize) -> io::Result<Vec<Slice>> {
        while self.available() < len && self.receive()? {}
        let mut slices = Vec::new();
        let (mut skip, mut left) = (self.at, len);
        for slice in &self.ahead {
            let from = skip.min(slice.len());
            let to = slice.len().min(from.saturating_add(left));
            if from < to {
                slices.push(slice.part(from..to));
            }
            skip -= from;
            left -= to - from;
        }
        Ok(slices)
    }

    /// Bytes that are here already.
    fn available(&self) -> usize {
        self.ahead.iter().map(|slice| slice.len()).sum::<usize>() - self.at
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        // What is used up was given back at once: the pool may need it while we wait here.
        while self.ahead.is_empty() {
            if !self.receive()? {
                return Ok(&[]);
            }
        }
        Ok(&self.ahead[0][self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
        while let Some(first) = self.ahead.front().filter(|first| self.at >= first.len()) {
            self.at -= first.len();
            self.ahead.pop_front();
        }
    }
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let read = available.len().min(buf.len());
        buf[..read].copy_from_slice(&available[..read]);
        self.consume(read);
        Ok(read)
    }
}
