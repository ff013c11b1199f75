//! From bytes as served to extents of the disk: unpacking and the image's format, in one pass.

use std::io;
use std::ops::Range;
use std::thread;

use crossbeam_channel::{Receiver, Sender};

use crate::bmap::{Bmap, RangeError, RangeVerifier};
use crate::codec::{DecodeStop, Emit, Input, Piece, drain, unpack};
use crate::error::Failure;
use crate::extent::{Extent, Packed, Slice, Unit, UnitCodec};
use crate::fetch::Stop;
use crate::frames::{self, Next};
use crate::pipeline::{FirstFailure, QUEUE, spawn};
use crate::pool::{BLOCK, Pool};
use crate::qcow2::{self, PassError};
use crate::sniff::Codec;
use crate::survey::Content;
use crate::veil::is_zero;

/// The extents of an image on their way to the writers.
pub(crate) struct Extents {
    pub(crate) extents: Receiver<Extent>,
    /// Length of the whole image in bytes; comes after the last extent, and only if nothing failed.
    pub(crate) image_bytes: Receiver<u64>,
}

/// What of an image with a block map goes to the disk.
pub(crate) struct Sieve {
    /// Ranges that are expected, and checked.
    pub(crate) wanted: Bmap,
    /// Ranges that are made zero, in bytes.
    pub(crate) holes: Vec<Range<u64>>,
    /// Whether nothing else than what is wanted comes.
    pub(crate) sparse: bool,
    /// Whether others vouch for the whole image: then its holes must be zeros there, as they will be on the disk.
    pub(crate) strict: bool,
}

/// Starts the transforming thread.
pub(crate) fn start(
    content: Content,
    sieve: Option<Sieve>,
    url: String,
    served: Receiver<Piece>,
    failed: FirstFailure,
) -> Result<Extents, Failure> {
    let (extents_to, extents) = crossbeam_channel::bounded(QUEUE);
    let (bytes_to, image_bytes) = crossbeam_channel::bounded(1);
    spawn("image-transform", move || {
        let result = match sieve {
            Some(sieve) => sift(&sieve, &content, &url, served, &extents_to),
            None => run(content, &url, served, &extents_to),
        };
        match result {
            // Nobody there means that writing failed meanwhile.
            Ok(bytes) => drop(bytes_to.send(bytes)),
            Err(Stop::Failed(failure)) => failed.set(failure),
            Err(Stop::Abandoned) => {}
        }
    })?;
    Ok(Extents { extents, image_bytes })
}

fn run(content: Content, url: &str, served: Receiver<Piece>, to: &Sender<Extent>) -> Result<u64, Stop> {
    match content {
        Content::Raw => pass(&served, &mut send_data(to)),
        Content::Qcow2(image) => unravel(&image, url, &served, to),
        Content::Packed(Codec::Zstd) => {
            let mut input = Input::new(served);
            let result = unpack_frames(&mut input, to);
            result.map_err(|stop| decode_stop(stop, Codec::Zstd, url, &input))
        }
        Content::Packed(codec) => unpack_stream(codec, url, served, &mut send_data(to)),
    }
}

/// Passes on what is mapped, after it was given to those who check it.
fn sift(
    sieve: &Sieve,
    content: &Content,
    url: &str,
    served: Receiver<Piece>,
    to: &Sender<Extent>,
) -> Result<u64, Stop> {
    let differs = |source| Stop::Failed(Failure::Range { url: url.to_owned(), source });
    thread::scope(|scope| {
        let mut verifier = RangeVerifier::start(scope, &sieve.wanted);
        for hole in &sieve.holes {
            send(to, Extent::Hole { offset: hole.start, len: hole.end - hole.start })?;
        }
        let mut emit = |offset: u64, bytes: Slice| {
            let mapped = verifier.push(offset, &bytes).map_err(differs)?;
            if sieve.strict {
                check_holes(offset, &bytes, &mapped).map_err(differs)?;
            }
            mapped.into_iter().try_for_each(|(offset, bytes)| send(to, Extent::Data { offset, bytes }))
        };
        let end = match content {
            Content::Packed(codec) if !sieve.sparse => unpack_stream(*codec, url, served, &mut emit)?,
            _ => pass(&served, &mut emit)?,
        };
        verifier.finish().map_err(differs)?;
        let map = sieve.wanted.image_size();
        if !sieve.sparse && end != map {
            return Err(Failure::MapSize { url: url.to_owned(), image: end, map }.into());
        }
        Ok(map)
    })
}

/// Whether what is not mapped of some bytes is zero.
fn check_holes(offset: u64, bytes: &[u8], mapped: &[(u64, Slice)]) -> Result<(), RangeError> {
    let end = offset + bytes.len() as u64;
    let mut at = offset;
    let behind = mapped.iter().map(|(start, part)| (*start, start + part.len() as u64));
    for (start, next) in behind.chain([(end, end)]) {
        if !is_zero(&bytes[(at - offset) as usize..(start - offset) as usize]) {
            return Err(RangeError::NotZero { start: at, end: start });
        }
        at = next;
    }
    Ok(())
}

fn unpack_stream(codec: Codec, url: &str, served: Receiver<Piece>, emit: &mut Emit<'_>) -> Result<u64, Stop> {
    let mut input = Input::new(served);
    let result = unpack(codec, &mut input, emit);
    result.map_err(|stop| decode_stop(stop, codec, url, &input))
}

fn decode_stop(stop: DecodeStop, codec: Codec, url: &str, input: &Input) -> Stop {
    match stop {
        DecodeStop::Stopped(stop) => stop,
        DecodeStop::Damaged { .. } if input.abandoned() => Stop::Abandoned,
        DecodeStop::Damaged { decoded, source } => {
            Failure::Decode { url: url.to_owned(), codec: codec.name(), decoded, source }.into()
        }
    }
}

/// The holes first, so that nothing has to be remembered of them.
fn unravel(
    image: &qcow2::Image,
    url: &str,
    served: &Receiver<Piece>,
    to: &Sender<Extent>,
) -> Result<u64, Stop> {
    let mut emit = |extent| send(to, extent);
    for hole in image.holes() {
        emit(Extent::Hole { offset: hole.start, len: hole.end - hole.start })?;
    }
    let changed = |offset, what: &str| {
        Stop::Failed(Failure::SourceChanged { url: url.to_owned(), offset, what: what.to_owned() })
    };
    let stop = |error| match error {
        PassError::Emit(stop) => stop,
        PassError::OutOfStep { .. } => Failure::Internal("the image came out of order").into(),
        PassError::Changed => changed(0, "its header and tables are not the ones that were checked"),
        PassError::Cut { offset } => changed(offset, "it ends before everything in it has come"),
    };
    let mut pass = qcow2::Pass::new(image);
    loop {
        match served.recv().map_err(|_| Stop::Abandoned)? {
            Piece::Data { offset, bytes } => pass.feed(offset, &bytes, &mut emit).map_err(stop)?,
            Piece::End => {
                pass.finish(&mut emit).map_err(stop)?;
                return Ok(image.size());
            }
        }
    }
}

fn pass(served: &Receiver<Piece>, emit: &mut Emit<'_>) -> Result<u64, Stop> {
    let mut end = 0;
    loop {
        match served.recv().map_err(|_| Stop::Abandoned)? {
            Piece::Data { offset, bytes } => {
                end = offset + bytes.len() as u64;
                emit(offset, bytes)?;
            }
            Piece::End => return Ok(end),
        }
    }
}

fn send_data(to: &Sender<Extent>) -> impl FnMut(u64, Slice) -> Result<(), Stop> {
    move |offset, bytes| send(to, Extent::Data { offset, bytes })
}

fn send(to: &Sender<Extent>, extent: Extent) -> Result<(), Stop> {
    to.send(extent).map_err(|_| Stop::Abandoned)
}

/// Short frames go to the writers as they are, tiny ones together; long ones are unpacked here.
fn unpack_frames(input: &mut Input, to: &Sender<Extent>) -> Result<u64, DecodeStop> {
    let pool = Pool::new(crate::codec::BLOCKS);
    let mut batch = Frames::default();
    loop {
        let offset = batch.end;
        let damaged = |source| DecodeStop::Damaged { decoded: offset, source };
        match frames::next(input).map_err(damaged)? {
            Next::Frame(unit) => {
                if !batch.has_room_for(&unit) {
                    batch.flush(to)?;
                }
                batch.add(unit).map_err(damaged)?;
            }
            Next::Stream => {
                batch.flush(to)?;
                let emit: &mut Emit<'_> = &mut send_data(to);
                let mut decoder = frames::decoder(input).map_err(damaged)?;
                batch.end = drain(&mut decoder, &pool, offset, emit)?;
            }
            Next::End => {
                batch.flush(to)?;
                return Ok(offset);
            }
        }
    }
}

/// Frames that lie together on the disk.
#[derive(Default)]
struct Frames {
    units: Vec<Unit>,
    /// Unpacked bytes of these.
    len: u64,
    /// Where on the disk they end.
    end: u64,
}

impl Frames {
    /// More frames than this hold nothing, or next to nothing.
    const MOST: usize = 4096;

    fn has_room_for(&self, unit: &Unit) -> bool {
        let parts = self.units.iter().chain([unit]).flat_map(|unit| &unit.input);
        let packed: usize = parts.map(|part| part.len()).sum();
        self.units.len() < Self::MOST && packed <= BLOCK && self.len + unit.len <= BLOCK as u64
    }

    fn add(&mut self, unit: Unit) -> io::Result<()> {
        let overflow = || io::Error::new(io::ErrorKind::InvalidData, "its sizes overflow");
        self.end = self.end.checked_add(unit.len).ok_or_else(overflow)?;
        self.len += unit.len;
        self.units.push(unit);
        Ok(())
    }

    fn flush(&mut self, to: &Sender<Extent>) -> Result<(), Stop> {
        let units = std::mem::take(&mut self.units);
        let offset = self.end - std::mem::take(&mut self.len);
        if units.is_empty() {
            return Ok(());
        }
        send(to, Extent::Packed(Packed { offset, codec: UnitCodec::Zstd, units }))
    }
}
