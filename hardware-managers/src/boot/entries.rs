//! Which entries stay, which go, and in what order: decided without touching anything (boot contract §G.3).

use std::collections::BTreeSet;

use super::load_option::{LoadOption, Signature};
use super::report::BootOrderPolicy;

/// The state of the firmware before.
pub(super) struct Before {
    /// All `Boot####`; those that cannot be parsed are kept.
    pub(super) entries: Vec<(u16, Option<LoadOption>)>,
    pub(super) order: Vec<u16>,
    pub(super) current: Option<u16>,
    /// Unique GUIDs of all partitions of the machine; `None` where not all of them are known.
    pub(super) partitions: Option<BTreeSet<[u8; 16]>>,
}

/// What is to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) number: u16,
    /// The entry is there already; it is written anew only when `rewrite` says so.
    pub(super) reused: bool,
    /// Content to write under `number`.
    pub(super) write: Option<LoadOption>,
    pub(super) remove: Vec<u16>,
    /// Of partitions that no disk has any more: whether they go decides nothing.
    pub(super) obsolete: Vec<u16>,
    pub(super) order: Vec<u16>,
}

/// `None` when every number is taken.
pub(super) fn decide(before: &Before, ours: &LoadOption, policy: BootOrderPolicy) -> Option<Change> {
    // Data behind the path is handed to the loader as its options: other ones are not what was asked for.
    let reusable = before.entries.iter().find(|(_, entry)| {
        entry
            .as_ref()
            .is_some_and(|entry| entry.path == ours.path && entry.optional_data == ours.optional_data)
    });
    let reused = reusable.map(|(number, _)| *number);
    let of = |is_meant: &dyn Fn(u16, &LoadOption) -> bool| -> Vec<u16> {
        let others = before.entries.iter().filter(|(number, _)| Some(*number) != reused);
        let known = others.filter_map(|(number, entry)| Some((*number, entry.as_ref()?)));
        known.filter(|(number, entry)| is_meant(*number, entry)).map(|(number, _)| number).collect()
    };
    let remove = of(&|_, entry| is_replaced(entry, ours));
    let obsolete = of(&|number, entry| {
        Some(number) != before.current && !remove.contains(&number) && leads_nowhere(entry, before)
    });
    let exists = |number: &u16| before.entries.iter().any(|(existing, _)| existing == number);
    // What is obsolete is there until ours is.
    let taken = |number: &u16| !remove.contains(number) && exists(number);
    let kept = |number: &u16| taken(number) && !obsolete.contains(number);
    let number = match reused {
        Some(number) => number,
        None => (0..=u16::MAX).find(|number| !taken(number))?,
    };
    let write = match reusable {
        Some((_, Some(entry))) if entry.is_active() => None,
        Some((_, Some(entry))) => Some(entry.activated()),
        _ => Some(ours.clone()),
    };
    let mut order: Vec<u16> = Vec::new();
    for &other in before.order.iter().filter(|other| **other != number && kept(other)) {
        if !order.contains(&other) {
            order.push(other);
        }
    }
    let place = match (policy, before.current) {
        (BootOrderPolicy::AfterCurrent, Some(current)) => {
            order.iter().position(|other| *other == current).map_or(0, |at| at + 1)
        }
        _ => 0,
    };
    order.insert(place, number);
    Some(Change { number, reused: reused.is_some(), write, remove, obsolete, order })
}

/// On a partition that no disk has any more. What the machine was started from is there, whether or not the kernel shows
/// it as a disk.
fn leads_nowhere(entry: &LoadOption, before: &Before) -> bool {
    let Some(Signature::Gpt(guid)) = entry.hard_drive().map(|drive| drive.signature) else { return false };
    before.partitions.as_ref().is_some_and(|known| !known.contains(&guid))
}

/// Entries on the very partition that was just written, and earlier entries of the same label and loader. Nothing
/// is judged by its label alone: other systems and network entries stay.
fn is_replaced(entry: &LoadOption, ours: &LoadOption) -> bool {
    let same_partition = match (signature(entry), signature(ours)) {
        (Some(theirs), Some(own)) => theirs == own,
        _ => false,
    };
    let same_loader = match (entry.hard_drive(), entry.file(), ours.file()) {
        (Some(_), Some(theirs), Some(own)) => {
            entry.description == ours.description && theirs.eq_ignore_ascii_case(&own)
        }
        _ => false,
    };
    same_partition || same_loader
}

/// An MBR signature names the disk, so the partition number belongs to the name.
fn signature(entry: &LoadOption) -> Option<(Signature, u32)> {
    let drive = entry.hard_drive()?;
    match drive.signature {
        Signature::Gpt(_) => Some((drive.signature, 0)),
        Signature::Mbr(_) => Some((drive.signature, drive.partition)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::load_option::HardDrive;
    use super::*;

    fn option(guid: u8, loader: &str, label: &str) -> LoadOption {
        let signature = Signature::Gpt([guid; 16]);
        LoadOption::for_loader(
            &HardDrive { partition: 1, start_lba: 2048, sectors: 4096, signature },
            loader,
            label,
        )
    }

    fn network(label: &str) -> LoadOption {
        LoadOption {
            attributes: 1,
            description: label.into(),
            path: vec![0x7f, 0xff, 4, 0],
            optional_data: vec![],
        }
    }

    fn before(entries: Vec<(u16, LoadOption)>, order: &[u16]) -> Before {
        let entries = entries.into_iter().map(|(number, entry)| (number, Some(entry))).collect();
        Before { entries, order: order.to_vec(), current: Some(1), partitions: None }
    }

    #[test]
    fn new_entry_takes_the_lowest_number_and_the_first_place() {
        let before = before(
            vec![(0, network("debian")), (1, network("pxe")), (3, option(9, "\\w", "win"))],
            &[1, 3, 1, 7, 0],
        );
        let change = decide(&before, &option(1, "\\d", "debian"), BootOrderPolicy::First).unwrap();
        assert_eq!((change.number, change.reused), (2, false));
        assert_eq!(change.remove, [] as [u16; 0]);
        assert_eq!(change.order, [2, 1, 3, 0]);
        let change = decide(&before, &option(1, "\\d", "debian"), BootOrderPolicy::AfterCurrent).unwrap();
        assert_eq!(change.order, [1, 2, 3, 0]);
    }

    #[test]
    fn only_our_own_leftovers_go() {
        let before = before(
            vec![
                (0, option(1, "\\old", "old system on this partition")),
                (1, option(7, "\\D", "debian")),
                (2, option(7, "\\other", "debian")),
                (3, option(7, "\\d", "other label")),
            ],
            &[0, 1, 2, 3],
        );
        let change = decide(&before, &option(1, "\\d", "debian"), BootOrderPolicy::First).unwrap();
        assert_eq!(change.remove, [0, 1]);
        assert_eq!((change.number, change.order.as_slice()), (0, [0, 2, 3].as_slice()));
    }

    #[test]
    fn entries_of_partitions_that_are_gone_go() {
        let mut before = before(
            vec![
                (0, network("pxe")),
                (1, option(7, "\\current", "started from what is no disk")),
                (2, option(7, "\\gone", "a disk that was wiped")),
                (3, option(9, "\\w", "another system")),
            ],
            &[0, 1, 2, 3],
        );
        let ours = option(1, "\\d", "debian");
        let remove = |before: &Before| decide(before, &ours, BootOrderPolicy::First).unwrap().obsolete;
        // A disk may be there that could not be read.
        assert_eq!(remove(&before), [] as [u16; 0]);
        before.partitions = Some([[1; 16], [9; 16]].into());
        assert_eq!(remove(&before), [2]);
    }

    #[test]
    fn equal_path_is_reused_and_activated() {
        let mut there = option(1, "\\d", "renamed by the owner");
        let ours = option(1, "\\d", "debian");
        let change = decide(&before(vec![(5, there.clone())], &[]), &ours, BootOrderPolicy::First).unwrap();
        assert_eq!((change.number, change.reused, change.write, change.order), (5, true, None, vec![5]));
        there.attributes = 0;
        let change = decide(&before(vec![(5, there.clone())], &[5]), &ours, BootOrderPolicy::First).unwrap();
        assert_eq!(change.write.unwrap().attributes, 1);
        // With options of an earlier owner it is replaced.
        there.optional_data = b"init=/bin/sh".to_vec();
        let change = decide(&before(vec![(5, there)], &[5]), &ours, BootOrderPolicy::First).unwrap();
        assert_eq!((change.reused, change.remove), (false, vec![5]));
    }
}
