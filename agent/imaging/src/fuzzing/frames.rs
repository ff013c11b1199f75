//! Streams of zstd frames.

use std::io::Read;
use std::sync::Arc;

use crossbeam_channel::unbounded;

use crate::codec::{Input, Piece, ZSTD_WINDOW_LOG};
use crate::extent::{Slice, UnitCodec};
use crate::frames::{Next, decoder, next};
use crate::pool::Pool;
use crate::unpack::Unpacker;

/// Most bytes that are unpacked.
const UNPACKED: usize = 4 << 20;

/// A zstd stream; its first byte says in how large pieces it comes.
///
/// # Panics
///
/// When frames that are unpacked each for itself give something else than the library makes of the whole.
pub fn frames(data: &[u8]) {
    // An empty image is refused before it comes to this.
    let Some((&piece, stream)) = data.split_first().filter(|(_, stream)| !stream.is_empty()) else { return };
    let Some(frame_by_frame) = in_pieces(stream, (usize::from(piece) + 1) * 16) else { return };
    let mut whole = Vec::new();
    let mut decoder = zstd::stream::read::Decoder::with_buffer(stream).expect("a decoder needs only memory");
    // What is unpacked in one go needs no window.
    decoder.window_log_max(ZSTD_WINDOW_LOG + 4).expect("a window within zstd's own limits");
    let result = decoder.take(UNPACKED as u64 + 1).read_to_end(&mut whole);
    result.expect("the library takes what was unpacked frame by frame");
    assert!(whole == frame_by_frame, "{} bytes, {} bytes", whole.len(), frame_by_frame.len());
}

/// What the frames hold; `None` when they are damaged or hold too much.
fn in_pieces(stream: &[u8], piece: usize) -> Option<Vec<u8>> {
    let (to, pieces) = unbounded();
    let pool = Pool::new(stream.len().div_ceil(piece) + 1);
    for (index, bytes) in stream.chunks(piece).enumerate() {
        let mut block = pool.take();
        block[..bytes.len()].copy_from_slice(bytes);
        let bytes = Slice::new(Arc::new(block), 0..bytes.len());
        to.send(Piece::Data { offset: (index * piece) as u64, bytes }).ok()?;
    }
    to.send(Piece::End).ok()?;
    let mut input = Input::new(pieces);
    let mut unpacker = Unpacker::default();
    let mut unpacked = Vec::new();
    loop {
        match next(&mut input).ok()? {
            Next::End => return Some(unpacked),
            Next::Frame(unit) => {
                let start = unpacked.len();
                let end =
                    start.checked_add(usize::try_from(unit.len).ok()?).filter(|end| *end <= UNPACKED)?;
                unpacked.resize(end, 0);
                unpacker.unit(&unit, UnitCodec::Zstd, &mut unpacked[start..]).ok()?;
            }
            Next::Stream => {
                let mut decoder = decoder(&mut input).ok()?.take((UNPACKED - unpacked.len()) as u64 + 1);
                decoder.read_to_end(&mut unpacked).ok()?;
            }
        }
        if unpacked.len() > UNPACKED {
            return None;
        }
    }
}
