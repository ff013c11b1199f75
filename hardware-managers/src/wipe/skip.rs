//! Disks that the operator keeps out of cleaning and deployment (IPA contract §5.5).

use serde_json::Value;
use tacit_model::BlockDevice;

use crate::hints::{HintError, RootDeviceHints};

/// `properties.skip_block_devices` of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SkipList {
    /// Each with the entry as it was given.
    hints: Vec<(String, RootDeviceHints)>,
    volume_names: Vec<String>,
}

impl SkipList {
    /// Reads the list of a node; a node without one skips nothing.
    ///
    /// # Errors
    ///
    /// [`HintError`] for an entry that cannot be understood, and for an empty one, which would skip every disk.
    pub fn from_node(node: &Value) -> Result<Self, HintError> {
        let mut list = Self::default();
        let entries = match &node["properties"]["skip_block_devices"] {
            Value::Null => return Ok(list),
            Value::Array(entries) => entries,
            other => {
                return Err(HintError::Malformed {
                    name: "skip_block_devices".to_owned(),
                    problem: format!("must be a list of hint objects, not {other}"),
                });
            }
        };
        for entry in entries {
            if let Some(name) = entry.get("volume_name") {
                let name =
                    name.as_str().filter(|name| !name.is_empty()).ok_or_else(|| HintError::WrongType {
                        name: "volume_name".to_owned(),
                        wanted: "text",
                        found: name.to_string(),
                    })?;
                list.volume_names.push(name.to_owned());
                continue;
            }
            let hints = RootDeviceHints::from_json(entry)?;
            if hints.is_empty() {
                return Err(HintError::Malformed {
                    name: "skip_block_devices".to_owned(),
                    problem: "has an entry without any hint".to_owned(),
                });
            }
            list.hints.push((entry.to_string(), hints));
        }
        Ok(list)
    }

    /// Whether a hint of the list holds for the disk itself. That it is reached by another name as well, or made of
    /// others, is for [`super::listed`].
    pub fn matches(&self, disk: &BlockDevice) -> bool {
        self.hints.iter().any(|(_, hints)| hints.matches(disk))
    }

    /// The entry of the list that keeps an md array of this name, `host:name` or `name`.
    pub(crate) fn volume_entry(&self, name: &str) -> Option<&str> {
        let short = name.rsplit_once(':').map_or(name, |(_, short)| short);
        self.volume_names.iter().map(String::as_str).find(|kept| *kept == name || *kept == short)
    }

    /// Whether an md array of this name is to be kept.
    pub(crate) fn keeps_volume(&self, name: &str) -> bool {
        self.volume_entry(name).is_some()
    }

    /// Entries that nothing on the machine answers: whoever wrote one believes that something is kept.
    pub(super) fn unanswered(&self, disks: &[BlockDevice], volumes: &[String]) -> Vec<String> {
        let hints = self.hints.iter().filter(|(_, hints)| !disks.iter().any(|disk| hints.matches(disk)));
        let hints = hints.map(|(entry, _)| format!("skip_block_devices: no disk answers {entry}"));
        let is_there =
            |entry: &String| volumes.iter().any(|name| self.volume_entry(name) == Some(entry.as_str()));
        let volumes = self.volume_names.iter().filter(|entry| !is_there(entry));
        hints.chain(volumes.map(|name| format!("skip_block_devices: no array is called {name}"))).collect()
    }

    pub(super) fn has_hints(&self) -> bool {
        !self.hints.is_empty()
    }

    pub(crate) fn has_volumes(&self) -> bool {
        !self.volume_names.is_empty()
    }
}
