//! Which disks an array is made of, and how they are to be partitioned, by the node's own words.

use serde_json::Value;
use tacit_model::BlockDevice;

use super::config::RaidConfig;
use super::layout::Label;
use crate::machine::Machine;

/// The disks of each volume, as numbers in `disks`: by its hints in their order, none twice, or all.
///
/// # Errors
///
/// Each hint that no disk answers, and each volume with too few disks.
pub(super) fn choose(config: &RaidConfig, disks: &[BlockDevice]) -> Result<Vec<Vec<usize>>, Vec<String>> {
    let mut problems = Vec::new();
    let mut members = Vec::new();
    for (at, volume) in config.volumes.iter().enumerate() {
        let mut chosen = Vec::new();
        for (number, hints) in volume.physical_disks.iter().enumerate() {
            let free = (0..disks.len()).find(|disk| !chosen.contains(disk) && hints.matches(&disks[*disk]));
            match free {
                Some(disk) => chosen.push(disk),
                None => problems.push(format!(
                    "no disk is left that answers physical_disks[{number}] of {}; there are {}",
                    volume.describe(at),
                    names(disks),
                )),
            }
        }
        if volume.physical_disks.is_empty() {
            chosen.extend(0..disks.len());
            let minimum = volume.level.minimum();
            if chosen.len() < minimum {
                problems.push(format!(
                    "{} of level {} needs at least {minimum} disks; there are {}",
                    volume.describe(at),
                    volume.level.number(),
                    names(disks),
                ));
            }
        }
        members.push(chosen);
    }
    if problems.is_empty() { Ok(members) } else { Err(problems) }
}

fn names(disks: &[BlockDevice]) -> String {
    let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Whether the node is to start by UEFI: as deployed, as asked for, or as it runs now.
pub(super) fn is_uefi(machine: &Machine, node: &Value) -> bool {
    let deployed = ["instance_info", "driver_internal_info"]
        .iter()
        .find_map(|part| node[*part]["deploy_boot_mode"].as_str().map(str::to_owned));
    match deployed.or_else(|| capability(node, "boot_mode")).as_deref() {
        Some(mode) => mode.eq_ignore_ascii_case("uefi"),
        None => machine.is_uefi(),
    }
}

/// GPT with UEFI; else what the node's capability `disk_label` says, MBR by default.
pub(super) fn label(uefi: bool, node: &Value) -> Label {
    let asked = capability(node, "disk_label");
    if uefi || asked.is_some_and(|label| label.eq_ignore_ascii_case("gpt")) {
        Label::Gpt
    } else {
        Label::Msdos
    }
}

/// The instance's capability before the node's; as an object or as `name:value,name:value`.
fn capability(node: &Value, name: &str) -> Option<String> {
    ["instance_info", "properties"].iter().find_map(|part| match &node[*part]["capabilities"] {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(object) => object[name].as_str().map(str::to_owned),
            Err(_) => text.split(',').find_map(|pair| {
                let (key, value) = pair.split_once(':')?;
                (key.trim() == name).then(|| value.trim().to_owned())
            }),
        },
        object => object[name].as_str().map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn disks() -> Vec<BlockDevice> {
        let disk = |(name, gib, serial): (&str, u64, &str)| BlockDevice {
            name: name.into(),
            size: gib << 30,
            serial: Some(serial.into()),
            ..BlockDevice::default()
        };
        [("/dev/sda", 10, "A"), ("/dev/sdb", 20, "B"), ("/dev/sdc", 20, "C")].map(disk).into()
    }

    fn choose_by(hints: Value) -> Result<Vec<Vec<usize>>, Vec<String>> {
        let disk =
            json!({"controller": "software", "raid_level": "1", "size_gb": 1, "physical_disks": hints});
        choose(&RaidConfig::parse(&json!({"logical_disks": [disk]}), false).unwrap().unwrap(), &disks())
    }

    #[test]
    fn hints_choose_in_their_order_and_no_disk_twice() {
        assert_eq!(choose_by(json!([{"size": ">= 20"}, {"size": ">= 5"}])), Ok(vec![vec![1, 0]]));
        assert_eq!(choose_by(json!([{"size": ">= 20"}, {"size": ">= 20"}])), Ok(vec![vec![1, 2]]));
        assert_eq!(choose_by(json!(null)), Ok(vec![vec![0, 1, 2]]));
        let problems = choose_by(json!([{"serial": "A"}, {"serial": "A"}, {"serial": "Z"}])).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("physical_disks[1]"), "{problems:?}");
    }

    #[test]
    fn too_few_disks_for_a_level() {
        let disks_of = |level: &str| {
            let first = json!({"controller": "software", "raid_level": "1", "size_gb": 1});
            let second = json!({"controller": "software", "raid_level": level, "size_gb": 1});
            let config =
                RaidConfig::parse(&json!({"logical_disks": [first, second]}), false).unwrap().unwrap();
            choose(&config, &disks())
        };
        assert!(disks_of("5").is_ok());
        assert!(disks_of("6").unwrap_err()[0].contains("needs at least 4 disks"));
    }

    #[test]
    fn the_node_s_words_decide_about_tables() {
        assert_eq!(label(true, &json!({})), Label::Gpt);
        assert_eq!(label(false, &json!({})), Label::Msdos);
        assert_eq!(label(false, &json!({"properties": {"capabilities": "a:b, disk_label:gpt"}})), Label::Gpt);
        let node = json!({"instance_info": {"capabilities": {"disk_label": "gpt"}}});
        assert_eq!(label(false, &node), Label::Gpt);
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::new(crate::machine::Roots::below(folder.path()), None);
        assert!(!is_uefi(&machine, &json!({})));
        assert!(is_uefi(&machine, &json!({"instance_info": {"deploy_boot_mode": "uefi"}})));
        assert!(is_uefi(&machine, &json!({"instance_info": {"capabilities": "{\"boot_mode\": \"uefi\"}"}})));
    }
}
