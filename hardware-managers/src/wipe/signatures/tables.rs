//! Partition tables. The two sector sizes in use are both tried.

use super::{KIB, Signature, at, end, format};

pub(super) const TABLES: &[Signature] = &[
    format("GPT", b"EFI PART", &[at(512), at(4 * KIB), end(512), end(4 * KIB)]),
    format("MBR or boot sector", &[0x55, 0xaa], &[at(510)]),
    format("BSD disk label", &[0x57, 0x45, 0x56, 0x82], &[at(0), at(64), at(128), at(512)]),
    format("BSD disk label", &[0x82, 0x56, 0x45, 0x57], &[at(0), at(64), at(128), at(512)]),
    format("SGI disk label", &[0x0b, 0xe5, 0xa9, 0x41], &[at(0)]),
    format("Sun disk label", &[0xda, 0xbe], &[at(508)]),
    format("Solaris disk label", &[0xee, 0xde, 0x0d, 0x60], &[at(512 + 12)]),
    format("Apple partition map", b"ER", &[at(0)]),
    format("Apple partition map", b"PM\0\0", &[at(512), at(2 * KIB), at(4 * KIB)]),
    format("Apple partition map", b"TS\0\0", &[at(512), at(2 * KIB)]),
    // IBMA in EBCDIC.
    format("AIX disk label", &[0xc9, 0xc2, 0xd4, 0xc1], &[at(0)]),
    format("UnixWare disk label", &[0x0d, 0x60, 0xe5, 0xca], &[at(29 * 512 + 4)]),
    format("Ultrix disk label", &[0x57, 0x29, 0x03, 0x00], &[at(16 * KIB - 72)]),
    format("Ultrix disk label", &[0x02, 0x29, 0x57], &[at(16 * KIB - 72), at(16 * KIB - 71)]),
    // VOL1, LNX1 and CMS1 in EBCDIC, in the third block of a DASD.
    format("DASD label", &[0xe5, 0xd6, 0xd3, 0xf1], DASD),
    format("DASD label", &[0xd3, 0xd5, 0xe7, 0xf1], DASD),
    format("DASD label", &[0xc3, 0xd4, 0xe2, 0xf1], DASD),
    format("Atari partition table", b"\x01GEM", ATARI),
    format("Atari partition table", b"\x01BGM", ATARI),
    format("Atari partition table", b"\x01XGM", ATARI),
    format("Amiga disk block", b"RDSK", AMIGA),
];

/// Blocks of 512 to 4096 bytes; the label follows a key of four bytes, or stands alone.
const DASD: &[super::Place] = &[
    at(2 * 512),
    at(2 * 512 + 4),
    at(2 * KIB),
    at(2 * KIB + 4),
    at(4 * KIB),
    at(4 * KIB + 4),
    at(8 * KIB),
    at(8 * KIB + 4),
];

/// Four entries of twelve bytes end at 0x1f6; a flag and the type begin each.
const ATARI: &[super::Place] = &[super::each(0x1c6, 4, 12)];

/// In one of the first sixteen sectors.
const AMIGA: &[super::Place] = &[super::each(0, 16, 512)];
