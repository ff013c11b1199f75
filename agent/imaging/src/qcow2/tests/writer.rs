//! Images as no usual program makes them: everything lies anywhere.

use std::io::Write;
use std::ops::Range;

/// What an image is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) seed: u64,
    pub(crate) cluster_bits: u32,
    pub(crate) version: u32,
    pub(crate) zstd: bool,
    /// Some clusters of the disk become zero, so that there is something that the file need not hold.
    pub(crate) blank: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) file: Vec<u8>,
    /// What it describes.
    pub(crate) disk: Vec<u8>,
    /// Header and tables in the file, as far as they matter.
    pub(crate) tables: Vec<Range<usize>>,
}

enum Item {
    L1,
    Refcounts,
    L2(usize),
    Plain(usize),
    Packed(usize, Vec<u8>),
}

/// A source of decisions.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as usize % limit
    }
}

fn pack(cluster: &[u8], zstd: bool) -> Vec<u8> {
    if zstd {
        return zstd::bulk::compress(cluster, 3).unwrap();
    }
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(cluster).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn put32(file: &mut [u8], at: usize, value: u32) {
    file[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

pub(crate) fn put64(file: &mut [u8], at: usize, value: u64) {
    file[at..at + 8].copy_from_slice(&value.to_be_bytes());
}

/// A header without anything behind it.
pub(crate) fn header(version: u32, cluster_bits: u32, size: u64, l1: (u64, u32), zstd: bool) -> Vec<u8> {
    let mut header = vec![0; 1 << cluster_bits];
    header[..4].copy_from_slice(b"QFI\xfb");
    put32(&mut header, 4, version);
    put32(&mut header, 20, cluster_bits);
    put64(&mut header, 24, size);
    put32(&mut header, 36, l1.1);
    put64(&mut header, 40, l1.0);
    put32(&mut header, 56, 1);
    if version == 3 {
        put64(&mut header, 72, u64::from(zstd) << 3 | 1 << 0);
        put32(&mut header, 96, 4);
        put32(&mut header, 100, 112);
        header[104] = zstd.into();
    }
    header
}

pub(crate) fn make(wanted: Wanted, mut disk: Vec<u8>) -> Made {
    let Wanted { seed, cluster_bits, version, zstd, blank } = wanted;
    let cluster = 1_usize << cluster_bits;
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let size = disk.len();
    let clusters = size.div_ceil(cluster);
    // What lies behind the disk's end in its last cluster does not matter.
    disk.resize(clusters * cluster, 0x99);
    let per_table = cluster / 8;
    let tables = clusters.div_ceil(per_table);
    let mut items = vec![Item::L1, Item::Refcounts];
    let mut entries = vec![0_u64; tables * per_table];
    let mut used = vec![false; tables];
    for guest in 0..clusters {
        let bytes = &mut disk[guest * cluster..][..cluster];
        let choice = dice.below(8);
        let item = match choice {
            0 | 1 if blank || bytes.iter().all(|&byte| byte == 0) => {
                bytes.fill(0);
                // Declared zero, not allocated, or nothing at all.
                entries[guest] = if version == 3 { dice.below(2) as u64 } else { 0 };
                used[guest / per_table] |= entries[guest] != 0;
                continue;
            }
            2 | 3 => Item::Plain(guest),
            _ => match pack(bytes, zstd) {
                packed if packed.len() < cluster => Item::Packed(guest, packed),
                _ => Item::Plain(guest),
            },
        };
        used[guest / per_table] = true;
        items.push(item);
    }
    items.extend((0..tables).filter(|table| used[*table]).map(Item::L2));
    // Some of it in order, some not.
    for _ in 0..items.len() / 2 {
        let (a, b) = (dice.below(items.len()), dice.below(items.len()));
        items.swap(a, b);
    }
    let mut file = header(version, cluster_bits, size as u64, (0, tables as u32), zstd && version == 3);
    let mut l1 = vec![0_u64; tables];
    let mut l2 = Vec::new();
    let (mut l1_at, mut refcounts_at) = (0, 0);
    for item in items {
        if let Item::Packed(guest, packed) = item {
            let at = file.len();
            file.extend(&packed);
            let sectors = ((at + packed.len() - 1) / 512 - at / 512) as u64;
            entries[guest] = 1 << 62 | sectors << (70 - cluster_bits) | at as u64;
            continue;
        }
        file.resize(file.len().next_multiple_of(cluster), 0);
        let at = file.len();
        match item {
            Item::L1 => {
                l1_at = at;
                file.resize(at + (tables * 8).next_multiple_of(cluster), 0);
            }
            Item::Refcounts => {
                refcounts_at = at;
                file.resize(at + cluster, 0);
            }
            Item::L2(table) => {
                l1[table] = at as u64 | (dice.below(2) as u64) << 63;
                l2.push((table, at));
                file.resize(at + cluster, 0);
            }
            Item::Plain(guest) => {
                entries[guest] = at as u64 | (dice.below(2) as u64) << 63;
                file.extend(&disk[guest * cluster..][..cluster]);
            }
            Item::Packed(..) => unreachable!(),
        }
    }
    put64(&mut file, 40, l1_at as u64);
    put64(&mut file, 48, refcounts_at as u64);
    for (index, entry) in l1.iter().enumerate() {
        put64(&mut file, l1_at + index * 8, *entry);
    }
    // With the end of the extensions.
    let header = if version == 3 { 120 } else { 80 };
    let mut ranges = vec![0..header, l1_at..l1_at + tables * 8];
    for (table, at) in l2 {
        for (index, entry) in entries[table * per_table..][..per_table].iter().enumerate() {
            put64(&mut file, at + index * 8, *entry);
        }
        let inside = per_table.min(clusters - table * per_table);
        ranges.push(at..at + inside * 8);
    }
    disk.truncate(size);
    Made { file, disk, tables: ranges }
}
