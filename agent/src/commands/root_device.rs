//! Which disk the image goes on (IPA contract §5.5, §6).

use serde_json::Value;
use tacit_hardware::{SkipList, select_root_device};
use tacit_model::BlockDevice;

use crate::agent::Agent;
use crate::jobs::CommandError;

/// # Errors
///
/// `DeviceNotFound`, with what each disk lacked, and for hints or a skip list that cannot be understood: these must
/// not lead to a disk.
pub(super) fn choose(agent: &Agent, node: &Value) -> Result<BlockDevice, CommandError> {
    pick(agent.machine.disks(), node)
}

fn pick(disks: Vec<BlockDevice>, node: &Value) -> Result<BlockDevice, CommandError> {
    let skipped = SkipList::from_node(node)
        .map_err(|error| CommandError::new("DeviceNotFound", format!("skip_block_devices: {error}")))?;
    select_root_device(&skipped.remaining(disks), hints(node))
        .map_err(|error| CommandError::new(error.class(), CommandError::chain(&error)))
}

/// The instance's hints before the node's. Only what says nothing is passed over: something that is not an object is
/// for the selection to refuse.
fn hints(node: &Value) -> Option<&Value> {
    ["instance_info", "properties"].iter().map(|part| &node[*part]["root_device"]).find(|hints| match hints {
        Value::Null => false,
        Value::Object(hints) => !hints.is_empty(),
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn disks() -> Vec<BlockDevice> {
        [("/dev/sda", 8_u64), ("/dev/sdb", 16)]
            .map(|(name, gib)| BlockDevice { name: name.into(), size: gib << 30, ..BlockDevice::default() })
            .into()
    }

    #[test]
    fn the_instance_speaks_before_the_node() {
        let node = json!({
            "instance_info": {"root_device": {"name": "/dev/sdb"}},
            "properties": {"root_device": {"name": "/dev/sda"}},
        });
        assert_eq!(pick(disks(), &node).unwrap().name, "/dev/sdb");
        let node = json!({"instance_info": {"root_device": {}}, "properties": {"root_device": null}});
        assert_eq!(pick(disks(), &node).unwrap().name, "/dev/sda");
    }

    #[test]
    fn what_cannot_be_understood_chooses_no_disk() {
        for properties in [
            json!({"root_device": "/dev/sdb"}),
            json!({"root_device": [{"name": "/dev/sdb"}]}),
            json!({"skip_block_devices": {"name": "/dev/sda"}}),
            json!({"skip_block_devices": [{}]}),
            json!({"skip_block_devices": ["/dev/sda"]}),
        ] {
            let error = pick(disks(), &json!({"properties": properties})).unwrap_err();
            assert_eq!(error.error.class, "DeviceNotFound", "{properties}");
        }
    }

    #[test]
    fn skipped_disks_are_not_chosen() {
        let skip = json!([{"name": "/dev/sda"}, {"volume_name": "data"}]);
        let node = json!({"properties": {"skip_block_devices": skip}});
        assert_eq!(pick(disks(), &node).unwrap().name, "/dev/sdb");
    }
}
