//! What forbids to erase a disk. File systems that other machines may have mounted are never erased by accident (IPA
//! contract §5.4).

use tacit_blockdev::{Access, Device, Drive};
use tacit_model::PlanVerdict;

use super::plan::Plan;
use crate::chain::chain;
use crate::drives::{DriveFacts, DriveKind, Reservations, identify};
use crate::machine::{Machine, names_in, read_text, transport};
use crate::partitions::PartitionKind;

/// Kinds of reasons to leave a disk alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FindingKind {
    /// The operator said so.
    Listed,
    /// A member of an array that stays, or that array itself.
    Array,
    VirtualMedium,
    ReadOnly,
    /// A file system that other machines may have mounted.
    Shared,
    /// Its superblock names an array that stays, and so do those of another array.
    Doubtful,
    /// Other machines have reserved it, or registered to do so, or nobody knows.
    Reserved,
    /// Mounted, or under something that cannot be taken down.
    InUse,
    Unreadable,
}

impl FindingKind {
    /// Whether the step succeeds without the disk.
    pub(crate) fn verdict(self) -> PlanVerdict {
        match self {
            Self::Listed | Self::Array | Self::VirtualMedium | Self::ReadOnly => PlanVerdict::Skip,
            Self::Shared | Self::Doubtful | Self::Reserved | Self::InUse | Self::Unreadable => {
                PlanVerdict::Refuse
            }
        }
    }
}

/// One reason to leave a disk alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) kind: FindingKind,
    /// In words.
    pub(crate) reason: String,
}

impl Finding {
    pub(super) fn new(kind: FindingKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }
}

/// What follows from all findings on a disk. What the operator keeps out is not complained about.
pub(crate) fn verdict(findings: &[Finding]) -> PlanVerdict {
    let has = |wanted| findings.iter().any(|finding| finding.kind.verdict() == wanted);
    if has(PlanVerdict::Skip) {
        PlanVerdict::Skip
    } else if has(PlanVerdict::Refuse) {
        PlanVerdict::Refuse
    } else {
        PlanVerdict::Erase
    }
}

/// GPT types of cluster file systems in the byte order of the disk.
const SHARED_TYPES: [(&str, [u8; 16]); 2] = [
    // AA31E02A-400F-11DB-9590-000C2911D1B8
    (
        "a VMFS partition",
        [0x2a, 0xe0, 0x31, 0xaa, 0x0f, 0x40, 0xdb, 0x11, 0x95, 0x90, 0x00, 0x0c, 0x29, 0x11, 0xd1, 0xb8],
    ),
    // 37AFFC90-EF7D-4E96-91C3-2D7AE055B174
    (
        "a GPFS partition",
        [0x90, 0xfc, 0xaf, 0x37, 0x7d, 0xef, 0x96, 0x4e, 0x91, 0xc3, 0x2d, 0x7a, 0xe0, 0x55, 0xb1, 0x74],
    ),
];

/// MBR type of VMFS.
const VMFS_MBR: u8 = 0xfb;

/// Type of the volumes that CXFS, the cluster's XFS, lies on, in SGI's labels.
const SGI_XVM: u32 = 0x0d;

/// What of this kind is on the disk, in words.
pub(super) fn protected_content(plan: &Plan) -> Option<String> {
    let by_type = plan.partitions.iter().find_map(|part| {
        let content = match part.kind {
            PartitionKind::Gpt { type_guid, .. } => {
                SHARED_TYPES.iter().find(|(_, shared)| *shared == type_guid).map(|(content, _)| *content)?
            }
            PartitionKind::Mbr { type_byte: VMFS_MBR } => "a VMFS partition",
            PartitionKind::Slice { label: "SGI", tag: SGI_XVM } => "a CXFS (XVM) partition",
            PartitionKind::Mbr { .. } | PartitionKind::Slice { .. } => return None,
        };
        Some(format!("{content} (number {})", part.number))
    });
    let above = || plan.shared_above.clone();
    by_type.or_else(above).or_else(|| {
        plan.regions.iter().find_map(|(region, found)| {
            let hit = found.iter().find(|hit| hit.shared)?;
            Some(format!("{} ({}, offset {})", hit.name, region.name, hit.offset))
        })
    })
}

/// What a drive says of itself. Who has reserved a disk at a USB cable is not asked for: no other machine is at the end
/// of it, and many bridges choke on the question.
pub(crate) fn ask(drive: &dyn Drive, kind: DriveKind, is_usb: bool) -> DriveFacts {
    let mut facts = identify(drive, kind);
    if is_usb && facts.reservations == Reservations::Unknown {
        facts.reservations = Reservations::None;
        facts.silent.retain(|question| !question.starts_with(RESERVATIONS));
    }
    facts
}

/// How the question begins in the lists of what a drive did not answer.
const RESERVATIONS: &str = "reservations";

/// Who else may use a drive, by what it said, in words. It is nobody else's only when it said so, or said that it has no
/// such commands; no answer is not the answer that there is nobody, unless the operator says so (not `guarded`).
pub(crate) fn shared_with(facts: &DriveFacts, guarded: bool) -> Option<String> {
    match &facts.reservations {
        Reservations::None => None,
        Reservations::Registered { keys, holder } => {
            let by = holder.map_or_else(String::new, |key| format!(", reserved by the one with {key:#x}"));
            Some(format!("{} initiators have registered keys with it{by}: it is shared", keys.len().max(1)))
        }
        // There are no such commands, or it takes none but those of the operation that takes its content.
        Reservations::Unknown
            if !guarded
                || matches!(facts.kind, DriveKind::Plain | DriveKind::Ata)
                || facts.sanitizing.is_some()
                || facts.sanitize_failed =>
        {
            None
        }
        Reservations::Unknown => {
            let why = facts.unanswered.iter().find(|line| line.starts_with(RESERVATIONS));
            let why = why.or(facts.unanswered.first()).map_or("it gave no answer", String::as_str);
            Some(format!(
                "does not tell whether other machines have registered with it (wipe_special_filesystems would go \
                 ahead): {why}"
            ))
        }
    }
}

/// Who else may use a logical unit of a storage network, in words. SCSI and NVMe disks are asked; for a multipath device,
/// which takes no such commands, its paths answer: what one of them says counts, even where another one is dead or waits
/// in reserve.
pub(crate) fn reserved(machine: &Machine, name: &str, guarded: bool) -> Option<String> {
    one_of_paths(paths(machine, name).iter().map(|path| {
        let device = match Device::open(&machine.device_node(path), Access::Read) {
            Ok(device) => device,
            Err(error) => {
                let problem = format!("cannot be asked who has registered with it: {}", chain(&error));
                return (false, guarded.then_some(problem));
            }
        };
        if !device.is_block_device() {
            return (false, None);
        }
        let facts = ask(&device, DriveKind::of(path), is_usb(machine, path));
        let others = shared_with(&facts, guarded);
        (others.is_some() && facts.reservations != Reservations::Unknown, others)
    }))
}

/// Of what each path says, and whether it is sure of it: that there are others, else that there are none, else a doubt.
fn one_of_paths(answers: impl Iterator<Item = (bool, Option<String>)>) -> Option<String> {
    let (mut free, mut doubt) = (false, None);
    for answer in answers {
        match answer {
            (true, others) => return others,
            (false, None) => free = true,
            (false, problem) => doubt = doubt.or(problem),
        }
    }
    doubt.filter(|_| !free)
}

/// Whether the disk is at a USB cable.
fn is_usb(machine: &Machine, name: &str) -> bool {
    let folder = machine.roots().sys.join("block").join(name.trim_start_matches("/dev/").replace('/', "!"));
    std::fs::canonicalize(folder).is_ok_and(|device| transport(&device).as_deref() == Some("usb"))
}

/// The SCSI and NVMe disks by which a logical unit is reached.
fn paths(machine: &Machine, name: &str) -> Vec<String> {
    let is_asked = |name: &str| matches!(DriveKind::of(name), DriveKind::Scsi | DriveKind::Nvme);
    if is_asked(name) {
        return vec![name.to_owned()];
    }
    let folder = machine.roots().sys.join("block").join(name.trim_start_matches("/dev/").replace('/', "!"));
    let is_multipath = read_text(&folder.join("dm/uuid")).is_some_and(|uuid| uuid.starts_with("mpath-"));
    let slaves = if is_multipath { names_in(&folder.join("slaves")) } else { Vec::new() };
    slaves.iter().map(|slave| format!("/dev/{slave}")).filter(|path| is_asked(path)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::machine::Roots;

    #[test]
    fn no_answer_is_not_the_answer_that_nobody_has_registered() {
        let scsi = DriveFacts { kind: DriveKind::Scsi, ..DriveFacts::default() };
        let refused = "reservations: PERSISTENT RESERVE IN was refused: not ready, 04h/0ah".to_owned();
        let unknown = DriveFacts { unanswered: vec!["health".to_owned(), refused.clone()], ..scsi.clone() };
        assert!(shared_with(&unknown, true).unwrap().contains(&refused));
        assert!(shared_with(&DriveFacts { kind: DriveKind::Nvme, ..scsi.clone() }, true).is_some());
        assert_eq!(shared_with(&unknown, false), None, "the operator has said so");
        let keys = Reservations::Registered { keys: Vec::new(), holder: None };
        let shared = DriveFacts { reservations: keys, ..scsi.clone() };
        for guarded in [true, false] {
            assert!(shared_with(&shared, guarded).unwrap().starts_with("1 init"));
        }
        for free in [
            DriveFacts { reservations: Reservations::None, ..scsi.clone() },
            DriveFacts { sanitizing: Some(1), ..scsi.clone() },
            DriveFacts { sanitize_failed: true, ..scsi.clone() },
            DriveFacts { kind: DriveKind::Plain, ..scsi.clone() },
        ] {
            assert_eq!(shared_with(&free, true), None, "{free:?}");
        }
    }

    #[test]
    fn what_cannot_be_opened_may_be_reserved() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::new(Roots::below(folder.path()), None);
        assert!(
            reserved(&machine, "/dev/sda", true).unwrap().starts_with("cannot be asked who has registered")
        );
        assert_eq!(reserved(&machine, "/dev/sda", false), None);
        assert_eq!(reserved(&machine, "/dev/vda", true), None);
    }

    #[test]
    fn one_path_that_answers_is_enough() {
        let said = |text: &str| Some(text.to_owned());
        let judge = |answers: &[(bool, Option<String>)]| one_of_paths(answers.iter().cloned());
        assert_eq!(judge(&[]), None);
        assert_eq!(judge(&[(false, said("dead")), (false, None)]), None);
        assert_eq!(judge(&[(false, said("dead")), (false, said("standby"))]), said("dead"));
        for order in [[0, 1, 2], [2, 1, 0]] {
            let answers = [(false, None), (true, said("3 initiators")), (false, said("dead"))];
            assert_eq!(judge(&order.map(|at| answers[at].clone())), said("3 initiators"));
        }
    }

    #[test]
    fn a_multipath_device_is_asked_through_its_paths() {
        let folder = tempfile::tempdir().unwrap();
        for (name, uuid) in [("dm-0", "mpath-3600"), ("dm-1", "LVM-abc")] {
            let block = folder.path().join("sys/block").join(name);
            fs::create_dir_all(block.join("dm")).unwrap();
            fs::write(block.join("dm/uuid"), uuid).unwrap();
            for slave in ["sda", "sdb", "vda"] {
                fs::create_dir_all(block.join("slaves").join(slave)).unwrap();
            }
        }
        let machine = Machine::new(Roots::below(folder.path()), None);
        assert_eq!(paths(&machine, "/dev/dm-0"), ["/dev/sda", "/dev/sdb"]);
        for own in ["/dev/sdc", "/dev/nvme0n1"] {
            assert_eq!(paths(&machine, own), [own]);
        }
        for other in ["/dev/dm-1", "/dev/md0", "/dev/none"] {
            assert_eq!(paths(&machine, other), [] as [&str; 0], "{other}");
        }
    }
}
