use std::collections::VecDeque;

use super::batch::Batch;
use super::map;
use super::order::SECTOR;
use super::segment::{Kind, Piece};
use super::survey::Image;
use super::watch::{Changed, Watch};
use crate::extent::{Extent, Slice, Unit};

/// The way through the file, once, from its first byte to its last.
pub(crate) struct Pass<'i> {
    image: &'i Image,
    pieces: map::Pieces<'i>,
    /// Begins behind what has come, or is a plain run of which a part has come.
    next: Option<Piece>,
    /// Compressed clusters of which a part has come. They end in the order in which they begin.
    open: VecDeque<Open>,
    batch: Batch,
    fixed: Watch<'i>,
    l2: Watch<'i>,
    /// Bytes of the file that have come.
    position: u64,
}

struct Open {
    piece: Piece,
    end: u64,
    input: Vec<Slice>,
}

/// Why a pass ended early. Offsets are bytes of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PassError<E> {
    /// Whoever takes the extents wants no more.
    Emit(E),
    /// Header or tables are not what they were in the survey.
    Changed,
    /// The file ended although there should be more.
    Cut { offset: u64 },
    /// What was fed does not begin where what was fed before ended.
    OutOfStep { offset: u64, expected: u64 },
}

impl<E> From<Changed> for PassError<E> {
    fn from(_: Changed) -> Self {
        Self::Changed
    }
}

type Emit<'e, E> = dyn FnMut(Extent) -> Result<(), E> + 'e;

impl<'i> Pass<'i> {
    pub(crate) fn new(image: &'i Image) -> Self {
        let mut pieces = image.map.pieces();
        Self {
            next: pieces.next(),
            pieces,
            image,
            open: VecDeque::new(),
            batch: Batch::default(),
            fixed: Watch::new(&image.fixed),
            l2: Watch::new(&image.l2),
            position: 0,
        }
    }

    /// Takes the next part of the file, and gives everything that is complete with it: plain clusters as parts of
    /// `slice`, compressed ones in batches of up to 1 MiB (or one cluster) that lie together on the disk.
    ///
    /// Keeps hold of `slice` only for a compressed cluster that ends further on, and for a batch that began in it; a
    /// batch is given at the latest with the part that follows the one in which it began.
    ///
    /// # Errors
    ///
    /// What `emit` returned, a part that is out of step, and tables that have changed since the survey.
    pub(crate) fn feed<E>(
        &mut self,
        offset: u64,
        slice: &Slice,
        emit: &mut Emit<'_, E>,
    ) -> Result<(), PassError<E>> {
        if offset != self.position {
            return Err(PassError::OutOfStep { offset, expected: self.position });
        }
        let end = offset + slice.len() as u64;
        self.fixed.look(offset, slice)?;
        self.l2.look(offset, slice)?;
        self.go_on(offset, slice, emit)?;
        while let Some(piece) = self.next.filter(|piece| piece.host < end) {
            match piece.kind {
                Kind::Plain { .. } => {
                    let run_end = self.plain(piece, offset, slice, emit)?;
                    if run_end > end {
                        break;
                    }
                }
                Kind::Packed { .. } => self.begin(piece, offset, slice, emit)?,
            }
            self.next = self.pieces.next();
        }
        self.position = end;
        give(self.batch.before(offset), emit)
    }

    /// The file has ended.
    ///
    /// # Errors
    ///
    /// What `emit` returned, and a file that ended before everything in it had come.
    pub(crate) fn finish<E>(mut self, emit: &mut Emit<'_, E>) -> Result<(), PassError<E>> {
        // The last sector of a compressed cluster need not be whole.
        while let Some(open) = self.open.pop_front_if(|open| open.end < self.position + SECTOR) {
            self.complete(open, emit)?;
        }
        give(self.batch.before(u64::MAX), emit)?;
        if self.next.is_some() || !self.open.is_empty() || !self.fixed.is_done() || !self.l2.is_done() {
            return Err(PassError::Cut { offset: self.position });
        }
        Ok(())
    }

    /// Gives what has come of a plain run, and returns where it ends.
    fn plain<E>(
        &self,
        piece: Piece,
        offset: u64,
        slice: &Slice,
        emit: &mut Emit<'_, E>,
    ) -> Result<u64, PassError<E>> {
        let geometry = self.image.header.geometry;
        let run_end = piece.host + geometry.len(piece.guest, piece.clusters());
        let part = piece.host.max(offset)..run_end.min(offset + slice.len() as u64);
        if !part.is_empty() {
            let bytes = slice.part((part.start - offset) as usize..(part.end - offset) as usize);
            let offset = geometry.offset(piece.guest) + (part.start - piece.host);
            emit(Extent::Data { offset, bytes }).map_err(PassError::Emit)?;
        }
        Ok(run_end)
    }

    /// Takes the first part of a compressed cluster.
    fn begin<E>(
        &mut self,
        piece: Piece,
        offset: u64,
        slice: &Slice,
        emit: &mut Emit<'_, E>,
    ) -> Result<(), PassError<E>> {
        let end = self.image.packed_end(&piece);
        let part = piece.host..end.min(offset + slice.len() as u64);
        let input = vec![slice.part((part.start - offset) as usize..(part.end - offset) as usize)];
        let open = Open { piece, end, input };
        if part.end == end {
            return self.complete(open, emit);
        }
        self.open.push_back(open);
        Ok(())
    }

    /// Takes the next part of all compressed clusters that have begun.
    fn go_on<E>(&mut self, offset: u64, slice: &Slice, emit: &mut Emit<'_, E>) -> Result<(), PassError<E>> {
        let end = offset + slice.len() as u64;
        for open in &mut self.open {
            open.input.push(slice.part(0..(open.end.min(end) - offset) as usize));
        }
        while let Some(open) = self.open.pop_front_if(|open| open.end <= end) {
            self.complete(open, emit)?;
        }
        Ok(())
    }

    fn complete<E>(&mut self, open: Open, emit: &mut Emit<'_, E>) -> Result<(), PassError<E>> {
        let geometry = self.image.header.geometry;
        let len = geometry.len(open.piece.guest, 1);
        let unit = Unit { input: open.input, len };
        let offset = geometry.offset(open.piece.guest);
        give(self.batch.add(offset, open.piece.host, self.image.codec(len), unit), emit)?;
        give(self.batch.full(), emit)
    }
}

fn give<E>(packed: Option<crate::extent::Packed>, emit: &mut Emit<'_, E>) -> Result<(), PassError<E>> {
    packed.map_or(Ok(()), |packed| emit(Extent::Packed(packed)).map_err(PassError::Emit))
}
