use super::header::Geometry;
use super::order::{Order, SECTOR};
use super::refusal::{Part, Refusal};

/// Something in the file that belongs to the virtual disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Number of the (first) guest cluster.
    pub(super) guest: u64,
    /// Offset in the file in bytes.
    pub(super) host: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// So many clusters as they are, one behind the other in the file and on the disk.
    Plain { clusters: u32 },
    /// One compressed cluster that ends in the last of so many sectors, the one in which it begins included.
    Packed { sectors: u32 },
}

impl Piece {
    pub(super) fn part(&self) -> Part {
        match self.kind {
            Kind::Plain { .. } => Part::Data,
            Kind::Packed { .. } => Part::Packed,
        }
    }

    /// Guest clusters.
    pub(super) fn clusters(&self) -> u64 {
        match self.kind {
            Kind::Plain { clusters } => clusters.into(),
            Kind::Packed { .. } => 1,
        }
    }

    /// Where whole clusters or sectors end in the file.
    pub(super) fn end(&self, geometry: Geometry) -> u64 {
        match self.kind {
            Kind::Plain { clusters } => self.host + (u64::from(clusters) << geometry.cluster_bits),
            Kind::Packed { sectors } => self.host / SECTOR * SECTOR + u64::from(sectors) * SECTOR,
        }
    }
}

/// What one L2 table maps, in the order of the file.
///
/// A record is three numbers of seven bits a byte: the guest cluster as the difference from the one expected with the
/// kind in the lowest bit, the offset from the last sector of what lies before, and the length less one. That makes
/// four or five bytes for a compressed cluster in an image written in order.
pub(super) struct Segment {
    /// Offset of the first piece in the file.
    pub(super) first: u64,
    /// Number of the L2 table.
    pub(super) table: u32,
    records: Box<[u8]>,
}

impl Segment {
    /// Bytes of memory, as an upper bound of what the allocator takes.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + 16 + self.records.len()
    }

    pub(super) fn pieces(&self, geometry: Geometry) -> Pieces<'_> {
        let guest = u64::from(self.table) * geometry.per_table();
        Pieces { geometry, rest: &self.records, guest, end: 0 }
    }
}

/// The pieces of one segment.
pub(super) struct Pieces<'s> {
    geometry: Geometry,
    rest: &'s [u8],
    /// Expected next.
    guest: u64,
    /// Of the piece before.
    end: u64,
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let guest = take_number(&mut self.rest)?;
        let host = self.end.saturating_sub(SECTOR) + take_number(&mut self.rest)?;
        let len = take_number(&mut self.rest)? as u32 + 1;
        let step = guest >> 1;
        let step = (step >> 1) as i64 ^ -((step & 1) as i64);
        let piece = Piece {
            guest: self.guest.wrapping_add_signed(step),
            host,
            kind: if guest & 1 == 1 { Kind::Plain { clusters: len } } else { Kind::Packed { sectors: len } },
        };
        self.guest = piece.guest + piece.clusters();
        self.end = piece.end(self.geometry);
        Some(piece)
    }
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}

fn put_number(records: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        records.push(number as u8 | 0x80);
        number >>= 7;
    }
    records.push(number as u8);
}

/// Makes the segment of one L2 table after the other.
pub(super) struct Builder {
    geometry: Geometry,
    table: u32,
    /// In 16 bytes a piece: a table may have 2^18.
    found: Vec<Found>,
    records: Vec<u8>,
}

struct Found {
    host: u64,
    /// Within the table.
    guest: u32,
    /// Clusters, or sectors with [`PACKED`].
    len: u32,
}

const PACKED: u32 = 1 << 31;

impl Builder {
    pub(super) fn new(geometry: Geometry) -> Self {
        Self { geometry, table: 0, found: Vec::new(), records: Vec::new() }
    }

    /// Begins a table. What was found in the one before must have been taken.
    pub(super) fn begin(&mut self, table: u32) {
        self.table = table;
        self.found.clear();
    }

    /// A plain cluster; `guest` is its number within the table.
    pub(super) fn plain(&mut self, guest: u32, host: u64) {
        if let Some(last) = self.found.last_mut().filter(|last| last.len & PACKED == 0)
            && last.guest + last.len == guest
            && last.host + (u64::from(last.len) << self.geometry.cluster_bits) == host
        {
            last.len += 1;
            return;
        }
        self.found.push(Found { host, guest, len: 1 });
    }

    /// A compressed cluster; `guest` is its number within the table.
    pub(super) fn packed(&mut self, guest: u32, host: u64, sectors: u32) {
        self.found.push(Found { host, guest, len: sectors | PACKED });
    }

    /// The segment of the table, if it maps anything.
    ///
    /// # Errors
    ///
    /// [`Refusal::Overlap`].
    pub(super) fn finish(&mut self) -> Result<Option<Segment>, Refusal> {
        self.found.sort_unstable_by_key(|found| (found.host, found.guest));
        let Some(first) = self.found.first().map(|found| found.host) else { return Ok(None) };
        self.records.clear();
        let mut order = Order::new();
        let base = u64::from(self.table) * self.geometry.per_table();
        let (mut guest, mut end) = (base, 0_u64);
        for found in &self.found {
            let len = found.len & !PACKED;
            let packed = found.len & PACKED != 0;
            let piece = Piece {
                guest: base + u64::from(found.guest),
                host: found.host,
                kind: if packed { Kind::Packed { sectors: len } } else { Kind::Plain { clusters: len } },
            };
            order.place(piece.part(), piece.host, piece.end(self.geometry))?;
            let step = piece.guest.wrapping_sub(guest) as i64;
            let step = ((step << 1) ^ (step >> 63)) as u64;
            put_number(&mut self.records, step << 1 | u64::from(!packed));
            put_number(&mut self.records, piece.host - end.saturating_sub(SECTOR));
            put_number(&mut self.records, u64::from(len - 1));
            guest = piece.guest + piece.clusters();
            end = piece.end(self.geometry);
        }
        Ok(Some(Segment { first, table: self.table, records: self.records.as_slice().into() }))
    }
}
