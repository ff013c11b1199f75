//! What is wanted: `target_raid_config`, checked as a whole (IPA contract §5.6).

use serde_json::Value;

use crate::hints::RootDeviceHints;

/// Most software arrays of one machine.
const MAX_VOLUMES: usize = 2;
/// md keeps at most so many bytes of a name.
const MAX_NAME: usize = 32;

/// The arrays to be made, in the order of their partitions: one that takes the rest of its disks comes last.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RaidConfig {
    pub(super) volumes: Vec<Volume>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Volume {
    pub(super) size: Size,
    pub(super) level: Level,
    pub(super) name: Option<String>,
    pub(super) is_root: Option<bool>,
    /// One for each member; empty when all disks are to be members.
    pub(super) physical_disks: Vec<RootDeviceHints>,
}

/// What each member gives to the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Gib(u64),
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Raid0,
    Raid1,
    Raid5,
    Raid6,
    Raid10,
}

const LEVELS: [(&str, Level); 5] = [
    ("0", Level::Raid0),
    ("1", Level::Raid1),
    ("5", Level::Raid5),
    ("6", Level::Raid6),
    ("1+0", Level::Raid10),
];

impl Level {
    /// As Ironic writes it.
    fn parse(text: &str) -> Option<Self> {
        LEVELS.iter().find(|(name, _)| *name == text).map(|(_, level)| *level)
    }

    /// As mdadm's option has it, and md's superblock.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Raid0 => 0,
            Self::Raid1 => 1,
            Self::Raid5 => 5,
            Self::Raid6 => 6,
            Self::Raid10 => 10,
        }
    }

    /// As the kernel's `md/level` has it.
    pub(super) fn kernel_name(self) -> String {
        format!("raid{}", self.number())
    }

    /// Fewest members.
    pub(super) fn minimum(self) -> usize {
        match self {
            Self::Raid5 => 3,
            Self::Raid6 => 4,
            Self::Raid0 | Self::Raid1 | Self::Raid10 => 2,
        }
    }
}

impl Volume {
    /// In words, for messages.
    pub(super) fn describe(&self, at: usize) -> String {
        self.name.as_ref().map_or_else(|| format!("logical_disks[{at}]"), |name| format!("volume {name}"))
    }
}

impl RaidConfig {
    /// Reads the configuration. `None` when it asks for no software array at all. `names_needed` when the node's skip
    /// list names arrays: then each has to be told from the others.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, not only the first.
    pub(super) fn parse(config: &Value, names_needed: bool) -> Result<Option<Self>, Vec<String>> {
        let list = match (config, &config["logical_disks"]) {
            (Value::Null, _) => return Ok(None),
            (Value::Object(map), _) if map.is_empty() => return Ok(None),
            (Value::Object(_), Value::Array(list)) => list,
            (Value::Object(_), _) => return Err(vec!["logical_disks must be a list".to_owned()]),
            _ => return Err(vec!["the RAID configuration must be an object".to_owned()]),
        };
        let is_software = |disk: &Value| disk["controller"] == "software";
        if !list.iter().any(is_software) {
            return Ok(None);
        }
        let mut problems = Vec::new();
        if list.len() > MAX_VOLUMES {
            problems.push(format!(
                "at most {MAX_VOLUMES} software RAID volumes are possible, not {}",
                list.len()
            ));
        }
        let volumes: Vec<Option<Volume>> =
            list.iter().enumerate().map(|(at, disk)| volume(at, disk, names_needed, &mut problems)).collect();
        check_names(list, &mut problems);
        if list.iter().filter(|disk| disk["is_root_volume"] == Value::Bool(true)).count() > 1 {
            problems.push("only one volume can be the root volume".to_owned());
        }
        if list.iter().filter(|disk| disk["size_gb"] == "MAX").count() > 1 {
            problems.push("only one volume can have the size MAX".to_owned());
        }
        if list[0]["raid_level"] != "1" {
            problems.push("the first volume must be of RAID level 1".to_owned());
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut volumes: Vec<Volume> = volumes.into_iter().flatten().collect();
        volumes.sort_by_key(|volume| volume.size == Size::Max);
        Ok(Some(Self { volumes }))
    }
}

/// One entry; `None` when something about it is wrong, which `problems` then tells.
fn volume(at: usize, disk: &Value, names_needed: bool, problems: &mut Vec<String>) -> Option<Volume> {
    let before = problems.len();
    let place = format!("logical_disks[{at}]");
    let mut wrong = |text: String| problems.push(format!("{place}: {text}"));
    if disk["controller"] != "software" {
        wrong("controller must be software, as that of the other volumes is".to_owned());
    }
    let level = disk["raid_level"].as_str().and_then(Level::parse);
    if level.is_none() {
        let known: Vec<&str> = LEVELS.iter().map(|(name, _)| *name).collect();
        wrong(format!("raid_level must be one of {}, not {}", known.join(", "), disk["raid_level"]));
    }
    let size = match &disk["size_gb"] {
        Value::String(text) if text == "MAX" => Some(Size::Max),
        other => other.as_u64().filter(|gib| *gib > 0 && gib.checked_mul(1 << 30).is_some()).map(Size::Gib),
    };
    if size.is_none() {
        wrong(format!("size_gb must be a number of GiB above 0 or MAX, not {}", disk["size_gb"]));
    }
    let name = match &disk["volume_name"] {
        Value::Null => {
            if names_needed {
                wrong("volume_name is needed, because skip_block_devices names volumes".to_owned());
            }
            None
        }
        Value::String(name) => {
            if let Err(problem) = check_name(name) {
                wrong(problem);
            }
            Some(name.clone())
        }
        other => {
            wrong(format!("volume_name must be text, not {other}"));
            None
        }
    };
    let is_root = match &disk["is_root_volume"] {
        Value::Null => None,
        Value::Bool(is_root) => Some(*is_root),
        other => {
            wrong(format!("is_root_volume must be true or false, not {other}"));
            None
        }
    };
    let physical_disks = physical_disks(&disk["physical_disks"], level, &mut wrong);
    let complete = Volume { size: size?, level: level?, name, is_root, physical_disks };
    (problems.len() == before).then_some(complete)
}

fn physical_disks(
    list: &Value,
    level: Option<Level>,
    wrong: &mut impl FnMut(String),
) -> Vec<RootDeviceHints> {
    let list = match list {
        Value::Null => return Vec::new(),
        Value::Array(list) => list,
        other => {
            wrong(format!("physical_disks must be a list of hint objects, not {other}"));
            return Vec::new();
        }
    };
    let minimum = level.map_or(2, Level::minimum);
    if list.len() < minimum {
        wrong(format!(
            "physical_disks must name at least {minimum} disks for this level, not {}",
            list.len()
        ));
    }
    let mut hints = Vec::new();
    for (at, entry) in list.iter().enumerate() {
        match RootDeviceHints::from_json(entry) {
            Ok(parsed) => hints.push(parsed),
            Err(error) => wrong(format!("physical_disks[{at}]: {error}")),
        }
    }
    hints
}

/// A name becomes an argument of a program and part of a path.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty()
        || name.len() > MAX_NAME
        || !name.bytes().all(plain)
        || !name.as_bytes()[0].is_ascii_alphanumeric()
    {
        return Err(format!(
            "volume_name must be 1 to {MAX_NAME} letters, digits, points, dashes or underscores, not '{name}'"
        ));
    }
    if name == super::SYSTEM_PARTITION {
        return Err(format!("volume_name {name} is that of the EFI system partition's own array"));
    }
    Ok(())
}

fn check_names(list: &[Value], problems: &mut Vec<String>) {
    let names: Vec<&str> = list.iter().filter_map(|disk| disk["volume_name"].as_str()).collect();
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            problems.push(format!("volume_name {name} is used twice"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn disk(level: &str, size: Value) -> Value {
        json!({"controller": "software", "raid_level": level, "size_gb": size})
    }

    fn parse(disks: &[Value]) -> Result<Option<RaidConfig>, Vec<String>> {
        RaidConfig::parse(&json!({"logical_disks": disks}), false)
    }

    #[test]
    fn nothing_is_asked_for() {
        for config in [json!(null), json!({}), json!({"logical_disks": []})] {
            assert_eq!(RaidConfig::parse(&config, false), Ok(None), "{config}");
        }
        let hardware = json!({"controller": "raid1", "raid_level": "1", "size_gb": 10});
        assert_eq!(parse(&[hardware]), Ok(None));
    }

    #[test]
    fn the_volume_that_takes_the_rest_comes_last() {
        let config = parse(&[disk("1", json!("MAX")), disk("1+0", json!(10))]).unwrap().unwrap();
        let sizes: Vec<Size> = config.volumes.iter().map(|volume| volume.size).collect();
        assert_eq!(sizes, [Size::Gib(10), Size::Max]);
        assert_eq!(config.volumes[0].level, Level::Raid10);
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let mut first = disk("7", json!(0));
        first["volume_name"] = json!("a/b");
        first["is_root_volume"] = json!("yes");
        first["physical_disks"] = json!([{"colour": "red"}]);
        let problems =
            parse(&[first, json!({"controller": "raid", "raid_level": "1", "size_gb": 1})]).unwrap_err();
        for expected in [
            "raid_level must be",
            "size_gb must be",
            "volume_name must be",
            "is_root_volume must be",
            "at least 2 disks",
            "colour",
            "logical_disks[1]: controller",
            "first volume must be of RAID level 1",
        ] {
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}: {problems:?}");
        }
    }

    #[test]
    fn rules_over_all_volumes() {
        let named = |name: &str| {
            let mut disk = disk("1", json!("MAX"));
            disk["volume_name"] = json!(name);
            disk["is_root_volume"] = json!(true);
            disk
        };
        let problems = parse(&[named("a"), named("a"), named("b")]).unwrap_err().join("; ");
        for expected in ["at most 2", "used twice", "only one volume can be the root", "size MAX"] {
            assert!(problems.contains(expected), "{expected}: {problems}");
        }
        let problems = RaidConfig::parse(&json!({"logical_disks": [disk("1", json!(1))]}), true).unwrap_err();
        assert!(problems[0].contains("volume_name is needed"), "{problems:?}");
        assert!(parse(&[named("esp")]).unwrap_err()[0].contains("EFI system partition"));
    }

    #[test]
    fn levels_want_enough_disks() {
        let hint = json!({"size": "> 1"});
        for (level, few) in [("5", 2), ("6", 3)] {
            let mut second = disk(level, json!(1));
            second["physical_disks"] = json!(vec![hint.clone(); few]);
            assert!(parse(&[disk("1", json!(1)), second.clone()]).is_err(), "{level}");
            second["physical_disks"] = json!(vec![hint.clone(); few + 1]);
            assert!(parse(&[disk("1", json!(1)), second]).is_ok(), "{level}");
        }
    }
}
