//! Decoders: blocks as served in, blocks of the disk image out.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use crate::pool::{Block, Pool};
use crate::sniff::Codec;

/// A piece of a stream on its way between threads. A channel that closes without an `End` was abandoned.
pub(crate) enum Piece {
    Data(Arc<Block>),
    End,
}

/// Largest zstd window, as a power of two: 128 MiB, what `zstd -d` accepts without `--long`.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Largest memory for an xz decoder: a 64 MiB dictionary (`xz -9`) and its state.
const XZ_MEMORY: u64 = 80 << 20;
/// Decoded blocks on their way to the disk.
const BLOCKS: usize = 4;

/// Why decoding ended early.
pub(crate) enum DecodeStop {
    /// The stream itself is wrong, after so many decoded bytes.
    Damaged { decoded: u64, source: io::Error },
    /// Another thread stopped and knows why.
    Abandoned,
}

/// Decodes until the stream ends. All of the input must belong to it.
pub(crate) fn decode(codec: Codec, input: Receiver<Piece>, output: &Sender<Piece>) -> Result<(), DecodeStop> {
    if codec == Codec::Raw {
        return pass(&input, output);
    }
    let mut input = Input { pieces: input, block: None, at: 0, state: InputState::Open };
    let result = unpack(codec, &mut input, output);
    match (result, input.state) {
        (Err(DecodeStop::Damaged { .. }), InputState::Abandoned) => Err(DecodeStop::Abandoned),
        (result, _) => result,
    }
}

fn pass(input: &Receiver<Piece>, output: &Sender<Piece>) -> Result<(), DecodeStop> {
    loop {
        let piece = input.recv().map_err(|_| DecodeStop::Abandoned)?;
        let end = matches!(piece, Piece::End);
        output.send(piece).map_err(|_| DecodeStop::Abandoned)?;
        if end {
            return Ok(());
        }
    }
}

fn unpack(codec: Codec, input: &mut Input, output: &Sender<Piece>) -> Result<(), DecodeStop> {
    let pool = Pool::new(BLOCKS);
    let mut decoded = 0;
    let mut decoder = decoder(codec, input).map_err(|source| DecodeStop::Damaged { decoded, source })?;
    loop {
        let mut block = pool.take();
        let mut filled = 0;
        while filled < block.len() {
            match decoder.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(DecodeStop::Damaged { decoded: decoded + filled as u64, source });
                }
            }
        }
        if filled == 0 {
            break;
        }
        decoded += filled as u64;
        block.truncate(filled);
        output.send(Piece::Data(Arc::new(block))).map_err(|_| DecodeStop::Abandoned)?;
    }
    drop(decoder);
    let rest = input.fill_buf().map_err(|source| DecodeStop::Damaged { decoded, source })?;
    if !rest.is_empty() {
        let source = io::Error::new(io::ErrorKind::InvalidData, "other bytes follow its end");
        return Err(DecodeStop::Damaged { decoded, source });
    }
    output.send(Piece::End).map_err(|_| DecodeStop::Abandoned)
}

fn decoder<'a>(codec: Codec, input: &'a mut Input) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match codec {
        Codec::Raw => Box::new(input),
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
struct Input {
    pieces: Receiver<Piece>,
    block: Option<Arc<Block>>,
    at: usize,
    state: InputState,
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.state == InputState::Open && self.block.as_ref().is_none_or(|block| self.at >= block.len())
        {
            // Given back before waiting for the next one: the pool may need it.
            self.block = None;
            self.at = 0;
            match self.pieces.recv() {
                Ok(Piece::Data(block)) => self.block = Some(block),
                Ok(Piece::End) => self.state = InputState::Ended,
                Err(_) => self.state = InputState::Abandoned,
            }
        }
        if self.state == InputState::Abandoned {
            return Err(io::Error::other("the stream was abandoned"));
        }
        Ok(self.block.as_ref().map_or(&[], |block| &block[self.at..]))
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
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
