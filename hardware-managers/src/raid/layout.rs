//! Where on its disks an array's members lie (IPA contract §5.6), decided without touching anything.

use serde::Serialize;

use super::config::{Level, Size, Volume};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// The EFI system partition that each disk of a UEFI machine gets, before the first member.
const SYSTEM_PARTITION: (u64, u64) = (MIB, 550 * MIB);
/// Left free on a GPT disk of a BIOS machine, for a boot loader's own partition.
const BIOS_RESERVE: u64 = 8 * MIB;
/// MBR entries count sectors in 32 bits.
const MBR_SECTORS: u64 = 1 << 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Label {
    Gpt,
    Msdos,
}

/// A partition to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Slot {
    pub(super) number: u32,
    /// Bytes from the start of the disk.
    pub(super) start: u64,
    /// Bytes.
    pub(super) length: u64,
    pub(super) purpose: Purpose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Purpose {
    /// Member of this volume, counted in the order of making.
    Member(usize),
    SystemPartition,
}

/// What has to be known of a disk.
#[derive(Clone, Debug)]
pub(super) struct Space {
    pub(super) device: String,
    pub(super) size: u64,
    pub(super) sector: u64,
    pub(super) label: Label,
    /// Whether the machine's firmware is UEFI.
    pub(super) uefi: bool,
}

impl Space {
    fn begin(&self) -> u64 {
        match (self.label, self.uefi) {
            (Label::Gpt, true) => SYSTEM_PARTITION.0 + SYSTEM_PARTITION.1,
            (Label::Gpt, false) => BIOS_RESERVE,
            (Label::Msdos, _) => MIB,
        }
    }

    /// The backup table lies in the last MiB.
    fn end(&self) -> u64 {
        let end = self.size.saturating_sub(MIB) / MIB * MIB;
        match self.label {
            Label::Gpt => end,
            Label::Msdos => end.min(MBR_SECTORS.saturating_mul(self.sector) / MIB * MIB - MIB),
        }
    }
}

/// The partitions of each disk, in the order of `spaces`; `members` names the disks of each volume. All members of a
/// volume that takes the rest are as large as the smallest, but for level 0, which uses what there is.
///
/// # Errors
///
/// Each disk that is too small for what is wanted of it.
pub(super) fn lay_out(
    volumes: &[Volume],
    members: &[Vec<usize>],
    spaces: &[Space],
) -> Result<Vec<Vec<Slot>>, Vec<String>> {
    let mut problems = Vec::new();
    let mut slots: Vec<Vec<Slot>> = vec![Vec::new(); spaces.len()];
    let mut next: Vec<u64> = spaces.iter().map(Space::begin).collect();
    for (at, (volume, disks)) in volumes.iter().zip(members).enumerate() {
        let rest = |disk: &usize| spaces[*disk].end().saturating_sub(next[*disk]);
        let smallest = disks.iter().map(rest).min().unwrap_or_default();
        let mut placed = Vec::new();
        for &disk in disks {
            let length = match volume.size {
                Size::Gib(gib) => gib * GIB,
                Size::Max if volume.level == Level::Raid0 => rest(&disk),
                Size::Max => smallest,
            };
            if length == 0 || length > rest(&disk) {
                problems.push(format!(
                    "{} has {} MiB left for {}, which wants {} MiB",
                    spaces[disk].device,
                    rest(&disk) / MIB,
                    volume.describe(at),
                    (length / MIB).max(1),
                ));
                continue;
            }
            placed.push((disk, length));
        }
        for (disk, length) in placed {
            let number = u32::try_from(slots[disk].len() + 1).expect("a volume or two");
            slots[disk].push(Slot { number, start: next[disk], length, purpose: Purpose::Member(at) });
            next[disk] += length;
        }
    }
    // Numbered after the members, as Ironic does, although it lies before them.
    for (space, slots) in spaces.iter().zip(&mut slots) {
        if space.uefi && space.label == Label::Gpt && !slots.is_empty() {
            let number = u32::try_from(slots.len() + 1).expect("a volume or two");
            let (start, length) = SYSTEM_PARTITION;
            slots.push(Slot { number, start, length, purpose: Purpose::SystemPartition });
        }
    }
    if problems.is_empty() { Ok(slots) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(size: Size, level: Level) -> Volume {
        Volume { size, level, name: None, is_root: None, physical_disks: Vec::new() }
    }

    fn space(size: u64, label: Label, uefi: bool) -> Space {
        Space { device: "/dev/x".into(), size, sector: 512, label, uefi }
    }

    #[test]
    fn members_follow_the_system_partition_and_the_rest_is_shared_evenly() {
        let volumes = [volume(Size::Gib(2), Level::Raid1), volume(Size::Max, Level::Raid5)];
        let spaces: Vec<Space> = [8, 9, 10].iter().map(|gib| space(gib * GIB, Label::Gpt, true)).collect();
        let slots = lay_out(&volumes, &[vec![0, 2], vec![0, 1, 2]], &spaces).unwrap();
        let begin = 551 * MIB;
        assert_eq!(
            slots[0][0],
            Slot { number: 1, start: begin, length: 2 * GIB, purpose: Purpose::Member(0) }
        );
        assert_eq!((slots[0][1].number, slots[0][1].start), (2, begin + 2 * GIB));
        assert_eq!((slots[1][0].number, slots[1][0].start), (1, begin));
        // All as large as that of the first disk, which has least left.
        let rest = 8 * GIB - MIB - begin - 2 * GIB;
        assert!(slots.iter().flatten().all(|slot| slot.purpose != Purpose::Member(1) || slot.length == rest));
        let system = slots[2].last().unwrap();
        assert_eq!((system.number, system.start, system.length), (3, MIB, 550 * MIB));
        assert_eq!(system.purpose, Purpose::SystemPartition);
    }

    #[test]
    fn bios_disks_have_no_system_partition() {
        let volumes = [volume(Size::Max, Level::Raid1)];
        for (label, start) in [(Label::Gpt, 8 * MIB), (Label::Msdos, MIB)] {
            let spaces = [space(GIB, label, false), space(GIB + 777, label, false)];
            let slots = lay_out(&volumes, &[vec![0, 1]], &spaces).unwrap();
            assert_eq!(slots[0].len(), 1);
            assert_eq!((slots[0][0].start, slots[0][0].start + slots[0][0].length), (start, GIB - MIB));
        }
    }

    #[test]
    fn an_mbr_reaches_no_further_than_its_numbers() {
        let spaces = [space(5 << 40, Label::Msdos, false), space(5 << 40, Label::Msdos, false)];
        let slots = lay_out(&[volume(Size::Max, Level::Raid1)], &[vec![0, 1]], &spaces).unwrap();
        assert!((slots[0][0].start + slots[0][0].length) / 512 < MBR_SECTORS);
    }

    #[test]
    fn small_disks_are_named() {
        let spaces = [space(GIB, Label::Gpt, true), space(100 * MIB, Label::Gpt, true)];
        let wanted = [volume(Size::Gib(1), Level::Raid1)];
        assert_eq!(lay_out(&wanted, &[vec![0, 1]], &spaces).unwrap_err().len(), 2);
        let wanted = [volume(Size::Max, Level::Raid1)];
        assert_eq!(lay_out(&wanted, &[vec![0, 1]], &spaces).unwrap_err().len(), 2);
    }
}
