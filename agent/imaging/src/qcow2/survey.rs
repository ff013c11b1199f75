use std::ops::Range;

use super::header::{FIRST, Header};
use super::map::Map;
use super::refusal::{HeadError, Refusal, SurveyError};
use super::segment::{Kind, Piece};
use super::tables::{GAP, READ, Read, Tables};
use super::watch::{Seal, Sealed};
use crate::extent::UnitCodec;
use crate::unpack::Unpacker;

/// Longest head in bytes.
const HEAD: u64 = 1 << 20;

/// A qcow2 image of which everything is known but the data.
pub(crate) struct Image {
    pub(super) header: Header,
    pub(super) map: Map,
    /// Header and L1 table.
    pub(super) fixed: Sealed,
    pub(super) l2: Sealed,
    /// Length of the file in bytes.
    file: Option<u64>,
}

impl Image {
    /// Learns an image by ranges: `read` fills its buffer with the bytes at an offset of the file. `file` is the
    /// file's length and `disk` the disk's, in bytes.
    ///
    /// Tables are read in ascending order in up to 1 MiB at once; neighbours together with what lies between them.
    /// Memory is bounded whatever the image says, to about 30 MiB while it is read and 24 MiB afterwards; usual images
    /// take four or five bytes a compressed cluster and a few bytes a run of plain ones.
    ///
    /// # Errors
    ///
    /// What `read` returned, and every reason for which the image is not written. That it is too large for the disk is
    /// known before any table is read.
    pub(crate) fn survey<E>(
        file: Option<u64>,
        disk: u64,
        read: &mut Read<'_, E>,
    ) -> Result<Self, SurveyError<E>> {
        let file_end = file.unwrap_or(u64::MAX);
        if file_end < FIRST as u64 {
            return Err(Refusal::Short.into());
        }
        let mut begin = vec![0; FIRST];
        read(0, &mut begin).map_err(SurveyError::Read)?;
        let header = Header::parse(begin.first_chunk().expect("so many were read"), disk)?;
        let len = match header.extensions(&begin)? {
            Some(len) => len,
            None => {
                let end = header.extensions_end().min(file_end);
                begin.resize(end as usize, 0);
                read(FIRST as u64, &mut begin[FIRST..]).map_err(SurveyError::Read)?;
                header.extensions(&begin)?.ok_or(Refusal::Short)?
            }
        };
        let mut fixed = Seal::new();
        fixed.add(0, &begin[..len]);
        let (map, l2) = Tables { header: &header, file, read }.read(&mut fixed)?;
        Ok(Self { header, map, fixed: fixed.finish(), l2, file })
    }

    /// Size of the virtual disk in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.header.geometry.size
    }

    /// Size of a cluster in bytes: everything that the pass gives begins at a multiple of it.
    pub(crate) fn cluster_size(&self) -> u64 {
        self.header.geometry.cluster()
    }

    /// Ranges of the disk that no cluster holds, which read as zeros; in order, neighbours merged.
    pub(crate) fn holes(&self) -> impl Iterator<Item = Range<u64>> {
        let geometry = self.header.geometry;
        self.map.absent().map(move |clusters| {
            let start = geometry.offset(clusters.start);
            start..start + geometry.len(clusters.start, clusters.end - clusters.start)
        })
    }

    /// How compressed clusters are packed when `len` bytes of one are wanted.
    pub(super) fn codec(&self, len: u64) -> UnitCodec {
        match self.header.codec {
            UnitCodec::Zstd if len < self.cluster_size() => UnitCodec::ZstdHead,
            codec => codec,
        }
    }

    /// Where a compressed cluster ends in the file: with a sector, or with the file.
    pub(super) fn packed_end(&self, piece: &Piece) -> u64 {
        piece.end(self.header.geometry).min(self.file.unwrap_or(u64::MAX))
    }

    /// The first bytes of the disk, up to a MiB, read by ranges.
    ///
    /// # Errors
    ///
    /// What `read` returned, and damaged clusters.
    pub(crate) fn head<E>(&self, read: &mut Read<'_, E>) -> Result<Vec<u8>, HeadError<E>> {
        let mut head = vec![0; self.size().min(HEAD) as usize];
        let pieces = self.head_pieces(head.len() as u64);
        let mut unpacker = Unpacker::default();
        let mut buf = Vec::new();
        let mut rest = pieces.as_slice();
        while let Some(first) = rest.first() {
            let start = first.host.start;
            let mut end = first.host.end;
            let mut together = 1;
            for next in &rest[1..] {
                if next.host.start > end + GAP || next.host.end > start + READ {
                    break;
                }
                end = end.max(next.host.end);
                together += 1;
            }
            buf.resize((end - start) as usize, 0);
            read(start, &mut buf).map_err(HeadError::Read)?;
            let (group, behind) = rest.split_at(together);
            rest = behind;
            for piece in group {
                let input = &buf[(piece.host.start - start) as usize..(piece.host.end - start) as usize];
                let out = &mut head[piece.guest.start as usize..piece.guest.end as usize];
                if piece.packed {
                    let codec = self.codec(out.len() as u64);
                    let offset = piece.host.start;
                    unpacker
                        .bytes(input, codec, out)
                        .map_err(|source| HeadError::Unpack { offset, source })?;
                } else {
                    out.copy_from_slice(input);
                }
            }
        }
        Ok(head)
    }

    /// What the first `len` bytes of the disk are made of, in the file's order.
    fn head_pieces(&self, len: u64) -> Vec<HeadPiece> {
        let geometry = self.header.geometry;
        let clusters = len.div_ceil(geometry.cluster());
        let tables = clusters.div_ceil(geometry.per_table()) as usize;
        let mut pieces: Vec<_> = self
            .map
            .tables()
            .take(tables)
            .flatten()
            .filter(|piece| piece.guest < clusters)
            .map(|piece| HeadPiece::new(&piece, len, self))
            .collect();
        pieces.sort_unstable_by_key(|piece| piece.host.start);
        pieces
    }
}

/// A part of the head.
struct HeadPiece {
    host: Range<u64>,
    guest: Range<u64>,
    packed: bool,
}

impl HeadPiece {
    fn new(piece: &Piece, head: u64, image: &Image) -> Self {
        let geometry = image.header.geometry;
        let start = geometry.offset(piece.guest);
        let len = geometry.len(piece.guest, piece.clusters()).min(head - start);
        let host = piece.host;
        let (end, packed) = match piece.kind {
            Kind::Plain { .. } => (host + len, false),
            Kind::Packed { .. } => (image.packed_end(piece), true),
        };
        Self { host: host..end, guest: start..start + len, packed }
    }
}
