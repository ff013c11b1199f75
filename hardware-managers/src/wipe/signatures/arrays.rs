//! RAID: the kernel's own, and what firmware of controllers and mainboards writes.

use super::{KIB, Place, Signature, at, end, end_aligned, format};

/// md keeps its superblock at the start (1.1), at 4 KiB (1.2) or near the end (1.0 and 0.90).
const MD: &[Place] =
    &[at(0), at(4 * KIB), end_aligned(4 * KIB, 8 * KIB, 0), end_aligned(64 * KIB, 64 * KIB, 0)];

const DDF: &[Place] = &[
    end_aligned(512, 512, 0),
    end_aligned(512, 4 * KIB, 0),
    end_aligned(512, 257 * 512, 0),
    end_aligned(512, 257 * 4 * KIB, 0),
];

const PROMISE: &[Place] = &[
    sectors(63),
    sectors(255),
    sectors(256),
    sectors(16),
    sectors(399),
    sectors(591),
    sectors(675),
    sectors(735),
    sectors(911),
    sectors(974),
    sectors(991),
    sectors(951),
    sectors(3087),
];

/// So many sectors of 512 bytes before the end.
const fn sectors(back: u64) -> Place {
    sectors_plus(back, 0)
}

const fn sectors_plus(back: u64, offset: u64) -> Place {
    end_aligned(512, back * 512, offset)
}

pub(super) const ARRAYS: &[Signature] = &[
    format("md RAID", &[0xfc, 0x4e, 0x2b, 0xa9], MD),
    format("md RAID", &[0xa9, 0x2b, 0x4e, 0xfc], MD),
    // Its bitmap of writes, 4 KiB behind the superblock.
    format("md bitmap", b"bitm", &[at(4 * KIB), at(8 * KIB), end_aligned(64 * KIB, 60 * KIB, 0)]),
    format("DDF RAID", &[0xde, 0x11, 0xde, 0x11], DDF),
    format("DDF RAID", &[0x11, 0xde, 0x11, 0xde], DDF),
    format(
        "Intel RAID",
        b"Intel Raid ISM Cfg Sig. ",
        &[end(KIB), end(8 * KIB), sectors(2), end_aligned(4 * KIB, 8 * KIB, 0)],
    ),
    format("LSI RAID", b"$XIDE$", &[sectors(1)]),
    format("NVIDIA RAID", b"NVIDIA", &[sectors(2)]),
    format("Adaptec RAID", b"DPTM", &[sectors_plus(1, 0x100)]),
    format("Adaptec RAID", &[0x37, 0xfc, 0x4d, 0x1e], &[sectors(1)]),
    format("JMicron RAID", b"JM", &[sectors(1)]),
    format("Promise RAID", b"Promise Technology, Inc.", PROMISE),
    format("Silicon Image RAID", &[0, 0, 0, 0x2f], &[sectors_plus(1, 0x60)]),
    format("VIA RAID", &[0x55, 0xaa], &[sectors(1)]),
    format("HighPoint RAID", &[0xf0, 0x16, 0x78, 0x5a], &[at(9 * 512 + 32)]),
    format("HighPoint RAID", &[0xfd, 0x16, 0x78, 0x5a], &[at(9 * 512 + 32)]),
    format("HighPoint RAID", &[0xf3, 0x16, 0x78, 0x5a], HPT45X),
    format("HighPoint RAID", &[0xfd, 0x16, 0x78, 0x5a], HPT45X),
];

const HPT45X: &[Place] = &[sectors(11), sectors_plus(11, 32)];
