//! Software RAID by the superblocks of its members: whose disks must be left alone (IPA contract §5.5).

use std::collections::BTreeSet;

use serde_json::Value;
use tacit_blockdev::{Device, Error};

use super::plan::Plan;
use super::skip::SkipList;
use super::stack::{Block, BlockGraph, Kind};

/// A superblock on a disk or a partition (`linux/raid/md_p.h`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Name of the disk.
    disk: String,
    /// Where the disk's region begins that is the member, in bytes.
    start: u64,
    uuid: [u8; 16],
    /// `host:name` or `name`; old superblocks have none.
    name: Option<String>,
}

/// What becomes of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// Stopped, and its members are wiped.
    Delete,
    /// Its content is wiped; the array stays.
    Wipe,
    /// Nothing is done to it.
    Keep,
}

/// One array with all of its members that were found.
#[derive(Clone, Debug)]
pub(super) struct Array {
    uuid: [u8; 16],
    name: Option<String>,
    members: BTreeSet<(String, u64)>,
    pub(super) fate: Fate,
    /// Another array has the name by which this one is kept: which of them is meant, nobody can tell.
    pub(super) is_doubtful: bool,
}

impl Array {
    /// Its name without the host's, for people.
    pub(super) fn title(&self) -> String {
        match &self.name {
            Some(name) => format!("the array {}", short(name)),
            None => "an array without a name".to_owned(),
        }
    }

    fn disks(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(disk, _)| disk.as_str())
    }
}

fn short(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, short)| short)
}

/// An array that the skip list names. Its name and identifier are what superblocks say, which whoever was root on the
/// machine can have written to any disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptArray {
    /// The entry of the list.
    pub(crate) entry: String,
    pub(crate) uuid: [u8; 16],
}

/// The first array among these members that the skip list names.
pub(super) fn kept(members: &[Member], skip: &SkipList) -> Option<KeptArray> {
    members.iter().find_map(|member| {
        let entry = skip.volume_entry(member.name.as_deref()?)?;
        Some(KeptArray { entry: entry.to_owned(), uuid: member.uuid })
    })
}

/// Reads every md superblock that the plan found.
pub(super) fn members(device: &Device, disk: &str, plan: &Plan) -> Result<Vec<Member>, Error> {
    let mut members = Vec::new();
    for (region, found) in &plan.regions {
        for hit in found.iter().filter(|hit| hit.name == "md RAID") {
            let mut block = [0; 256];
            if hit.offset.checked_add(256).is_none_or(|end| end > device.size_bytes()) {
                continue;
            }
            device.read_at(hit.offset, &mut block)?;
            let Some((uuid, name)) = read(&block, (hit.offset - region.start) / 512) else { continue };
            members.push(Member { disk: disk.to_owned(), start: region.start, uuid, name });
        }
    }
    Ok(members)
}

/// Identifier and name by a superblock; `None` when it belongs elsewhere: what ends a partition may end the disk, too.
fn read(block: &[u8; 256], sector: u64) -> Option<([u8; 16], Option<String>)> {
    const MAGIC: u32 = 0xa92b_4efc;
    let word = |at: usize| <[u8; 4]>::try_from(&block[at..at + 4]).expect("four bytes");
    let little = u32::from_le_bytes(word(0)) == MAGIC;
    let version = if little { u32::from_le_bytes(word(4)) } else { u32::from_be_bytes(word(4)) };
    if version != 1 {
        let parts = [word(20), word(52), word(56), word(60)];
        return Some((parts.concat().try_into().expect("four times four bytes"), None));
    }
    let own = u64::from_le_bytes(block[144..152].try_into().expect("eight bytes"));
    if !little || own != sector {
        return None;
    }
    let name = block[32..64].split(|byte| *byte == 0).next().unwrap_or_default();
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty()).map(str::to_owned);
    Some((block[16..32].try_into().expect("sixteen bytes"), name))
}

/// Whether the node's own configuration has software RAID: then its arrays outlive a cleaning.
pub(crate) fn has_software_raid(node: &Value) -> bool {
    let software =
        |place: &Value| {
            place["logical_disks"].as_array().into_iter().flatten().any(|disk| {
                disk["controller"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("software"))
            })
        };
    software(&node["target_raid_config"])
        || software(&node["raid_config"])
        || software(&node["driver_internal_info"]["target_raid_config"])
}

/// All arrays, each with its fate.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrays {
    list: Vec<Array>,
}

impl Arrays {
    /// An array that the skip list names is kept. One that shares a disk with an array that stays cannot be deleted
    /// without harm to that; nor is any that the node's configuration asks for. `esp` stays as it is beside a kept
    /// one: without it nothing boots.
    pub(super) fn new(members: Vec<Member>, skip: &SkipList, configured: bool) -> Self {
        let mut list: Vec<Array> = Vec::new();
        for member in members {
            let at = list.iter().position(|array| array.uuid == member.uuid).unwrap_or_else(|| {
                let fate = if configured { Fate::Wipe } else { Fate::Delete };
                let (name, members) = (None, BTreeSet::new());
                list.push(Array { uuid: member.uuid, name, members, fate, is_doubtful: false });
                list.len() - 1
            });
            let array = &mut list[at];
            array.members.insert((member.disk, member.start));
            array.name = array.name.take().or(member.name);
            if array.name.as_deref().is_some_and(|name| skip.keeps_volume(name)) {
                array.fate = Fate::Keep;
            }
        }
        let entries: Vec<Option<&str>> =
            list.iter().map(|array| skip.volume_entry(array.name.as_deref()?)).collect();
        let doubtful: Vec<bool> = entries
            .iter()
            .map(|entry| entry.is_some() && entries.iter().filter(|other| *other == entry).count() > 1)
            .collect();
        for (array, is_doubtful) in list.iter_mut().zip(doubtful) {
            array.is_doubtful = is_doubtful;
        }
        let mut arrays = Self { list };
        arrays.spread(skip.has_volumes());
        arrays
    }

    fn spread(&mut self, volumes: bool) {
        loop {
            let staying: BTreeSet<String> =
                self.staying().flat_map(|array| array.disks().map(str::to_owned)).collect();
            let next = self.list.iter_mut().find(|array| {
                array.fate == Fate::Delete && array.members.iter().any(|(disk, _)| staying.contains(disk))
            });
            match next {
                Some(array) => array.fate = Fate::Wipe,
                None => break,
            }
        }
        for array in &mut self.list {
            let is_esp = array.name.as_deref().is_some_and(|name| short(name) == "esp");
            if volumes && array.fate == Fate::Wipe && is_esp {
                array.fate = Fate::Keep;
            }
        }
    }

    fn staying(&self) -> impl Iterator<Item = &Array> {
        self.list.iter().filter(|array| array.fate != Fate::Delete)
    }

    /// The array that stays and has a member on this disk.
    pub(super) fn staying_on(&self, disk: &str) -> Option<&Array> {
        self.staying().find(|array| array.disks().any(|member| member == disk))
    }

    /// The array that stays without its content, that has a member on this disk, and that is none of these disks: its
    /// content cannot be wiped.
    pub(super) fn out_of_reach_on(
        &self,
        disk: &str,
        graph: &BlockGraph,
        disks: &BTreeSet<String>,
    ) -> Option<&Array> {
        let within = graph.arrays().filter(|block| disks.contains(&block.node()));
        let within: Vec<[u8; 16]> =
            within.filter_map(|block| Some(self.running(graph, block)?.uuid)).collect();
        self.list.iter().find(|array| {
            array.fate == Fate::Wipe
                && array.disks().any(|member| member == disk)
                && !within.contains(&array.uuid)
        })
    }

    /// The array that a running one of the kernel is.
    pub(super) fn running(&self, graph: &BlockGraph, block: &Block) -> Option<&Array> {
        let members: Vec<(String, u64)> = graph
            .slaves(block)
            .filter_map(|slave| match &slave.kind {
                Kind::Partition { disk, start } => Some((graph.get(disk)?.node(), *start)),
                _ => Some((slave.node(), 0)),
            })
            .collect();
        self.list.iter().find(|array| members.iter().any(|member| array.members.contains(member)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arrays(volumes: &[&str], configured: bool, members: &[(&str, &str, u8)]) -> Vec<(String, Fate)> {
        let entries: Vec<_> = volumes.iter().map(|name| json!({ "volume_name": name })).collect();
        let skip = SkipList::from_node(&json!({"properties": {"skip_block_devices": entries}})).unwrap();
        let members = members.iter().map(|(disk, name, start)| Member {
            disk: (*disk).to_owned(),
            start: u64::from(*start) << 20,
            uuid: std::array::from_fn(|at| name.as_bytes().get(at).copied().unwrap_or_default()),
            name: Some(format!("host:{name}")),
        });
        let arrays = Arrays::new(members.collect(), &skip, configured);
        arrays
            .list
            .iter()
            .map(|array| (short(array.name.as_deref().unwrap()).to_owned(), array.fate))
            .collect()
    }

    fn fate(name: &str, fate: Fate) -> (String, Fate) {
        (name.to_owned(), fate)
    }

    #[test]
    fn arrays_beside_a_kept_one_stay() {
        let members = [
            ("sda", "root", 1),
            ("sdb", "root", 1),
            ("sda", "esp", 2),
            ("sdb", "data", 2),
            ("sdc", "data", 1),
            // Not beside the kept one, but beside one that stays for its sake.
            ("sdc", "scratch", 2),
            ("sdd", "old", 1),
        ];
        let fates = arrays(&["root"], false, &members);
        let wanted = [
            fate("root", Fate::Keep),
            fate("esp", Fate::Keep),
            fate("data", Fate::Wipe),
            fate("scratch", Fate::Wipe),
            fate("old", Fate::Delete),
        ];
        assert_eq!(fates, wanted);
        assert!(arrays(&[], false, &members).iter().all(|(_, fate)| *fate == Fate::Delete));
        assert!(arrays(&[], true, &members).iter().all(|(_, fate)| *fate == Fate::Wipe));
    }

    #[test]
    fn a_name_of_several_arrays_keeps_none_for_sure() {
        let skip = json!({"properties": {"skip_block_devices": [{ "volume_name": "data" }]}});
        let skip = SkipList::from_node(&skip).unwrap();
        let member = |disk: &str, uuid: u8, name: &str| Member {
            disk: disk.to_owned(),
            start: 0,
            uuid: [uuid; 16],
            name: Some(name.to_owned()),
        };
        let doubtful = |members: &[Member]| {
            let arrays = Arrays::new(members.to_vec(), &skip, false);
            arrays.list.iter().map(|array| array.is_doubtful).collect::<Vec<_>>()
        };
        let own = [member("sda", 1, "a:data"), member("sdb", 1, "a:data"), member("sdc", 2, "a:other")];
        assert_eq!(doubtful(&own), [false, false]);
        let forged = [member("sda", 1, "a:data"), member("sdc", 2, "other"), member("sdd", 3, "b:data")];
        assert_eq!(doubtful(&forged), [true, false, true]);
    }

    #[test]
    fn a_superblock_tells_where_it_belongs() {
        let mut block = [0_u8; 256];
        block[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
        block[4] = 1;
        block[16..32].fill(7);
        block[32..41].copy_from_slice(b"host:name");
        block[144..152].copy_from_slice(&8_u64.to_le_bytes());
        assert_eq!(read(&block, 8), Some(([7; 16], Some("host:name".to_owned()))));
        assert_eq!(read(&block, 9), None, "another region's");
        block[4] = 0;
        assert_eq!(read(&block, 9).unwrap().1, None, "0.90 has neither name nor place");
    }

    #[test]
    fn software_raid_of_the_node_is_recognised() {
        let disks = json!({"logical_disks": [{"raid_level": "1", "controller": "software"}]});
        assert!(has_software_raid(&json!({ "target_raid_config": disks })));
        assert!(has_software_raid(&json!({ "driver_internal_info": {"target_raid_config": disks} })));
        let hardware = json!({"logical_disks": [{"raid_level": "1", "controller": "RAID.Slot.1"}]});
        for node in [json!({}), json!({ "raid_config": hardware }), json!({"target_raid_config": null})] {
            assert!(!has_software_raid(&node), "{node}");
        }
    }
}
