//! From bytes as served to extents of the disk: unpacking and the image's format, in one pass.

use crossbeam_channel::{Receiver, Sender};

use crate::codec::{DecodeStop, Emit, Input, Piece, drain, unpack};
use crate::error::Failure;
use crate::extent::{Extent, Packed, Slice, UnitCodec};
use crate::fetch::Stop;
use crate::frames::{self, Next};
use crate::pipeline::{FirstFailure, QUEUE, spawn};
use crate::pool::Pool;
use crate::qcow2::{self, PassError};
use crate::sniff::Codec;
use crate::survey::Content;

/// The extents of an image on their way to the writers.
pub(crate) struct Extents {
    pub(crate) extents: Receiver<Extent>,
    /// Length of the whole image in bytes; comes after the last extent, and only if nothing failed.
    pub(crate) image_bytes: Receiver<u64>,
}

/// Starts the transforming thread.
pub(crate) fn start(
    content: Content,
    url: String,
    served: Receiver<Piece>,
    failed: FirstFailure,
) -> Result<Extents, Failure> {
    let (extents_to, extents) = crossbeam_channel::bounded(QUEUE);
    let (bytes_to, image_bytes) = crossbeam_channel::bounded(1);
    spawn("image-transform", move || match run(content, &url, served, &extents_to) {
        // Nobody there means that writing failed meanwhile.
        Ok(bytes) => drop(bytes_to.send(bytes)),
        Err(Stop::Failed(failure)) => failed.set(failure),
        Err(Stop::Abandoned) => {}
    })?;
    Ok(Extents { extents, image_bytes })
}

fn run(content: Content, url: &str, served: Receiver<Piece>, to: &Sender<Extent>) -> Result<u64, Stop> {
    match content {
        Content::Raw => pass(&served, to),
        Content::Qcow2(image) => unravel(&image, url, &served, to),
        Content::Packed(codec) => {
            let mut input = Input::new(served);
            let result = match codec {
                Codec::Zstd => unpack_frames(&mut input, to),
                _ => unpack(codec, &mut input, &mut send_data(to)),
            };
            result.map_err(|stop| match stop {
                DecodeStop::Damaged { decoded, source } if !input.abandoned() => {
                    Failure::Decode { url: url.to_owned(), codec: codec.name(), decoded, source }.into()
                }
                _ => Stop::Abandoned,
            })
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
    let mut emit = |extent| to.send(extent).map_err(|_| Stop::Abandoned);
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

fn pass(served: &Receiver<Piece>, to: &Sender<Extent>) -> Result<u64, Stop> {
    let mut end = 0;
    loop {
        match served.recv().map_err(|_| Stop::Abandoned)? {
            Piece::Data { offset, bytes } => {
                end = offset + bytes.len() as u64;
                to.send(Extent::Data { offset, bytes }).map_err(|_| Stop::Abandoned)?;
            }
            Piece::End => return Ok(end),
        }
    }
}

fn send_data(to: &Sender<Extent>) -> impl FnMut(u64, Slice) -> Result<(), DecodeStop> {
    move |offset, bytes| to.send(Extent::Data { offset, bytes }).map_err(|_| DecodeStop::Abandoned)
}

/// Short frames go to the writers as they are; long ones are unpacked here.
fn unpack_frames(input: &mut Input, to: &Sender<Extent>) -> Result<u64, DecodeStop> {
    let pool = Pool::new(crate::codec::BLOCKS);
    let mut offset = 0;
    loop {
        let damaged = |source| DecodeStop::Damaged { decoded: offset, source };
        match frames::next(input).map_err(damaged)? {
            Next::End => return Ok(offset),
            Next::Frame(unit) => {
                let len = unit.len;
                let packed = Packed { offset, codec: UnitCodec::Zstd, units: vec![unit] };
                to.send(Extent::Packed(packed)).map_err(|_| DecodeStop::Abandoned)?;
                offset = offset.checked_add(len).ok_or_else(|| {
                    let source = std::io::Error::new(std::io::ErrorKind::InvalidData, "its sizes overflow");
                    DecodeStop::Damaged { decoded: offset, source }
                })?;
            }
            Next::Stream => {
                let emit: &mut Emit<'_> = &mut send_data(to);
                let mut decoder = frames::decoder(input).map_err(damaged)?;
                offset = drain(&mut decoder, &pool, offset, emit)?;
            }
        }
    }
}
