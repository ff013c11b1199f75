//! Disks that the operator keeps out of cleaning and deployment (IPA contract §5.5).

use serde_json::Value;
use tacit_model::BlockDevice;

use crate::hints::{HintError, RootDeviceHints};

/// `properties.skip_block_devices` of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SkipList {
    hints: Vec<RootDeviceHints>,
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
            list.hints.push(hints);
        }
        Ok(list)
    }

    /// Whether a hint of the list holds for the disk.
    pub fn matches(&self, disk: &BlockDevice) -> bool {
        self.hints.iter().any(|hints| hints.matches(disk))
    }

    /// The disks that may be used, in the order given: what root device selection chooses from.
    pub fn remaining(&self, disks: Vec<BlockDevice>) -> Vec<BlockDevice> {
        disks.into_iter().filter(|disk| !self.matches(disk)).collect()
    }

    /// Whether an md array of this name, `host:name` or `name`, is to be kept.
    pub(crate) fn keeps_volume(&self, name: &str) -> bool {
        let short = name.rsplit_once(':').map_or(name, |(_, short)| short);
        self.volume_names.iter().any(|kept| kept == name || kept == short)
    }

    pub(crate) fn has_volumes(&self) -> bool {
        !self.volume_names.is_empty()
    }
}
