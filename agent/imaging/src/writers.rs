//! The threads that bring extents onto the disk, several at a time.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tacit_blockdev::AlignedBuf;

use crate::extent::{Extent, Packed};
use crate::pipeline::TICK;
use crate::pool::BLOCK;
use crate::progress::Counters;
use crate::readback::Ledger;
use crate::target::TargetError;
use crate::unpack::{Unpacker, expect_end};
use crate::veil::Veil;

/// How many threads write: more than one keeps the disk busy while another one unpacks or compares.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4))
}

/// Where extents go.
pub(crate) struct Destination<'d> {
    pub(crate) veil: &'d Veil<'d>,
    /// Where the image begins on the disk, in bytes.
    pub(crate) base: u64,
    /// Bytes that it may fill from there on.
    pub(crate) room: u64,
    /// Reads first, and writes only what differs.
    pub(crate) compare: bool,
    /// Remembers what was written, so that all of it can be read back.
    pub(crate) ledger: Option<Ledger>,
    pub(crate) counters: &'d Counters,
    pub(crate) stop: AtomicBool,
    pub(crate) fault: Mutex<Option<WriteStop>>,
}

/// Why writing ended early.
pub(crate) enum WriteStop {
    /// The image reaches to this byte at least.
    TooLarge {
        end: u64,
    },
    Unpack {
        offset: u64,
        source: io::Error,
    },
    Disk {
        doing: &'static str,
        source: TargetError,
    },
    /// The disk gave back something else than was written.
    ReadBack {
        offset: u64,
    },
}

fn disk(doing: &'static str) -> impl Fn(TargetError) -> WriteStop {
    move |source| WriteStop::Disk { doing, source }
}

impl Destination<'_> {
    /// Writes until there are no more extents; the first fault stops all writers.
    pub(crate) fn run(&self, extents: &Receiver<Extent>) {
        let mut hand = Hand {
            to: self,
            unpacked: AlignedBuf::new(BLOCK),
            present: AlignedBuf::new(if self.compare { BLOCK } else { 0 }),
            unpacker: Unpacker::default(),
        };
        while !self.stop.load(Ordering::Relaxed) {
            let result = match extents.recv_timeout(TICK) {
                Ok(extent) => hand.put(extent),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Err(fault) = result {
                self.stop.store(true, Ordering::Relaxed);
                self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
            }
        }
    }
}

/// One writer and its buffers.
struct Hand<'h> {
    to: &'h Destination<'h>,
    unpacked: AlignedBuf,
    present: AlignedBuf,
    unpacker: Unpacker,
}

impl Hand<'_> {
    fn put(&mut self, extent: Extent) -> Result<(), WriteStop> {
        match extent {
            Extent::Data { offset, bytes } => put_data(self.to, &mut self.present, offset, &bytes),
            Extent::Hole { offset, len } => self.put_hole(offset, len),
            Extent::Packed(packed) => self.put_packed(&packed),
        }
    }

    fn put_packed(&mut self, packed: &Packed) -> Result<(), WriteStop> {
        let len: u64 = packed.units.iter().map(|unit| unit.len).sum();
        self.to.place(packed.offset, len)?;
        let (to, present) = (self.to, &mut self.present);
        let unpack = |source| WriteStop::Unpack { offset: packed.offset, source };
        if len <= BLOCK as u64 {
            let mut at = 0;
            for unit in &packed.units {
                let out = &mut self.unpacked[at..at + unit.len as usize];
                self.unpacker.unit(unit, packed.codec, out).map_err(unpack)?;
                at += unit.len as usize;
            }
            return put_data(to, present, packed.offset, &self.unpacked[..at]);
        }
        let mut offset = packed.offset;
        for unit in &packed.units {
            let end = offset + unit.len;
            let mut reader = self.unpacker.reader(unit, packed.codec).map_err(unpack)?;
            while offset < end && !to.stop.load(Ordering::Relaxed) {
                let out = &mut self.unpacked[..BLOCK.min((end - offset) as usize)];
                reader.read_exact(out).map_err(unpack)?;
                put_data(to, present, offset, out)?;
                offset += out.len() as u64;
            }
            if offset == end {
                expect_end(&mut *reader).map_err(unpack)?;
            }
        }
        Ok(())
    }

    /// Holes may be as long as disks are: in pieces, so that writing can be stopped.
    fn put_hole(&mut self, offset: u64, len: u64) -> Result<(), WriteStop> {
        const PIECE: u64 = 32 << 20;
        let to = self.to;
        let start = to.place(offset, len)?;
        let mut done = 0;
        while done < len && !to.stop.load(Ordering::Relaxed) {
            let (at, piece) = (start + done, PIECE.min(len - done));
            if to.compare {
                self.clear_what_differs(at, piece)?;
            } else {
                to.veil.deallocate(at, piece).map_err(disk("zeroing a hole of the image"))?;
            }
            to.counters.target_bytes.fetch_add(piece, Ordering::Relaxed);
            done += piece;
        }
        to.check(to.ledger.as_ref().and_then(|ledger| ledger.note_zeros(start, len)))
    }

    fn clear_what_differs(&mut self, start: u64, len: u64) -> Result<(), WriteStop> {
        let veil = self.to.veil;
        for at in (start..start + len).step_by(BLOCK) {
            let present = &mut self.present[..BLOCK.min((start + len - at) as usize)];
            veil.read(at, present).map_err(disk("comparing"))?;
            if !crate::veil::is_zero(present) {
                veil.deallocate(at, present.len() as u64).map_err(disk("zeroing a hole of the image"))?;
            }
        }
        Ok(())
    }
}

impl Destination<'_> {
    /// Reads back what a full ledger holds.
    fn check(&self, full: Option<Ledger>) -> Result<(), WriteStop> {
        let Some(ledger) = full else { return Ok(()) };
        self.veil.flush().map_err(disk("flushing"))?;
        let stopped = || self.stop.load(Ordering::Relaxed);
        let found = ledger.first_difference(self.veil, 1, &self.counters.read_bytes, &stopped);
        match found.map_err(disk("reading back the image"))? {
            Some(range) => Err(WriteStop::ReadBack { offset: range.start }),
            None => Ok(()),
        }
    }

    /// Where on the disk something lies that lies at `offset` in the image.
    fn place(&self, offset: u64, len: u64) -> Result<u64, WriteStop> {
        match offset.checked_add(len) {
            Some(end) if end <= self.room => Ok(self.base + offset),
            end => Err(WriteStop::TooLarge { end: end.unwrap_or(u64::MAX) }),
        }
    }
}

fn put_data(to: &Destination<'_>, present: &mut [u8], offset: u64, bytes: &[u8]) -> Result<(), WriteStop> {
    let at = to.place(offset, bytes.len() as u64)?;
    if to.compare {
        to.veil.update(at, bytes, present).map_err(disk("comparing and writing the image"))?;
    } else {
        to.veil.write(at, bytes).map_err(disk("writing the image"))?;
    }
    to.counters.target_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    to.check(to.ledger.as_ref().and_then(|ledger| ledger.note(at, bytes)))
}
