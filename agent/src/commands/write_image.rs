//! Writes an image (IPA contract §2.1, §8).

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tacit_blockdev::{Access, Device};
use tacit_fetch::HttpSource;
use tacit_hardware::RootChoice;
use tacit_imaging::{PartitionsMade, Source, Verify, WriteMode, WriteRequest, Written, write_image};
use tacit_model::{DevicePlan, EraseStandard, PlanVerdict, PlannedMethod};
use tacit_protocol::image::{self, ImageInfo};

use super::image_layout::layout;
use super::image_manager::WRITE_IMAGE;
use super::image_request::{ImageRequest, parse_url};
use super::imaging_faults::from_imaging;
use super::imaging_job::{ImagingObserver, WatchedDisk};
use super::root_device;
use crate::agent::{Agent, Deployed};
use crate::jobs::{CommandError, JobContext};

/// Writes what `image_info` names onto the node's root device. Returns IPA's sentence about it.
pub(super) fn run(
    agent: &Arc<Agent>,
    job: &Arc<JobContext>,
    node: &Value,
    image_info: &Value,
    configdrive: Option<&str>,
) -> Result<String, CommandError> {
    let disk = root_device::choose(agent, node)?.disk.name;
    if let Some(reason) = agent.machine.forbidden(node, &disk) {
        return Err(CommandError::new("ProtectedDeviceError", reason));
    }
    let ImageRequest { info, urls, fetcher, digest, signature, bmap, config_drive, retry } =
        ImageRequest::resolve(agent, job, image_info, configdrive)?;
    let layout = info
        .is_partition_image()
        .then(|| layout(&info.partition, node, agent.machine.is_uefi()))
        .transpose()?;
    // Of whole-disk images IPA knows none.
    let tells_esp = info.is_partition_image() && info.partition.deploy_boot_mode.as_deref() == Some("uefi");
    let sources = urls
        .into_iter()
        .map(|url| Box::new(HttpSource::new(fetcher.clone(), url)) as Box<dyn Source>)
        .collect();
    let request = WriteRequest {
        digests: digest.into_iter().collect(),
        signature,
        bmap,
        disk_format: info.disk_format,
        config_drive,
        config_drive_rebuild: agent.image_policy().config_drive_rebuild,
        layout,
        mode: match info.write_mode {
            image::WriteMode::All => WriteMode::All,
            image::WriteMode::Changed => WriteMode::Changed,
        },
        verify: match info.verify {
            image::Verify::Revealed => Verify::Revealed,
            image::Verify::Full => Verify::Full,
        },
        retry,
        ..WriteRequest::new(sources)
    };

    let path = agent.machine.device_node(Path::new(&disk));
    let device = Device::open(&path, Access::Exclusive)
        .map_err(|error| CommandError::new("ImageWriteError", CommandError::chain(&error)))?;
    tracing::info!("image {} goes to {disk}", info.id);
    agent.set_deployed(None);
    let observer = ImagingObserver { job, device: disk.clone() };
    let written = write_image(request, &WatchedDisk { device, job }, &observer)
        .map_err(|error| from_imaging(&error))?;
    let deployed = describe(info.id, disk, &written);
    let text = sentence(&deployed, tells_esp);
    agent.set_deployed(Some(deployed));
    Ok(text)
}

/// What [`run`] would do. Nothing is written, and nothing fetched.
pub(super) fn plan(
    agent: &Agent,
    node: &Value,
    image_info: &Value,
    configdrive: Option<&str>,
) -> Result<Value, CommandError> {
    let info: ImageInfo = serde_json::from_value(image_info.clone())
        .map_err(|error| CommandError::invalid_params(format!("image_info: {error}")))?;
    let urls = info.urls.iter().map(|url| Ok(parse_url(url)?.redacted().to_string()));
    let urls = urls.collect::<Result<Vec<_>, CommandError>>()?;
    let RootChoice { disk, reason } = root_device::choose(agent, node)?;
    let forbidden = agent.machine.forbidden(node, &disk.name);
    let verdict = if forbidden.is_some() { PlanVerdict::Refuse } else { PlanVerdict::Erase };
    let contents = agent.machine.contents(&disk.name);
    let reasons = std::iter::once(reason).chain(forbidden).chain(disk.ineligible).chain(contents).collect();
    let with = if configdrive.is_some() { ", and a config drive" } else { "" };
    let method = PlannedMethod {
        method: WRITE_IMAGE.to_owned(),
        standard: EraseStandard::None,
        estimated_seconds: None,
        reason: format!("the disk is overwritten with image {} from {}{with}", info.id, urls.join(", ")),
    };
    let plan = DevicePlan {
        device: disk.name,
        serial: disk.serial,
        model: disk.model,
        verdict,
        reasons,
        methods: vec![method],
    };
    Ok(json!({ "plan": [plan] }))
}

/// Type of EFI system partitions in a GPT.
const EFI_SYSTEM: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

/// For whole-disk images, IPA's root UUID is the signature in the MBR; for partition images the file system's.
fn describe(image_id: String, device: String, written: &Written) -> Deployed {
    if let Some(made) = &written.made {
        let uuids = describe_partitions(&device, made);
        return Deployed { image_id, device, uuids };
    }
    let mut uuids = serde_json::Map::new();
    uuids.insert("root uuid".into(), json!(format!("{:#010x}", written.disk_identifier)));
    let efi = written
        .partitions
        .iter()
        .find(|partition| {
            partition.type_guid.as_deref().is_some_and(|guid| guid.eq_ignore_ascii_case(EFI_SYSTEM))
        })
        .and_then(|partition| partition.guid.clone());
    if let Some(guid) = efi {
        uuids.insert("efi system partition uuid".into(), json!(guid));
    }
    Deployed { image_id, device, uuids }
}

fn describe_partitions(device: &str, made: &PartitionsMade) -> serde_json::Map<String, Value> {
    let mut uuids = serde_json::Map::new();
    uuids.insert("root uuid".into(), json!(made.root_uuid));
    if let Some(uuid) = &made.esp_uuid {
        uuids.insert("efi system partition uuid".into(), json!(uuid));
    }
    let paths: serde_json::Map<String, Value> = made
        .partitions
        .iter()
        .map(|part| (part.role.name().to_owned(), json!(partition_path(device, part.partition.number))))
        .collect();
    uuids.insert("partitions".into(), Value::Object(paths));
    uuids
}

/// The kernel puts a `p` between a name that ends in a digit and the number.
fn partition_path(device: &str, number: u32) -> String {
    let separator = if device.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
    format!("{device}{separator}{number}")
}

/// IPA's words. The EFI system partition is told of for partition images only, where Ironic said that the firmware is UEFI.
fn sentence(deployed: &Deployed, tells_esp: bool) -> String {
    let uuid = |name: &str| deployed.uuids.get(name).and_then(Value::as_str);
    let root = uuid("root uuid").unwrap_or_default();
    let esp = uuid("efi system partition uuid").filter(|_| tells_esp);
    let esp = esp.map(|uuid| format!(" efi_system_partition_uuid={uuid}")).unwrap_or_default();
    format!("image ({}) written to device {} root_uuid={root}{esp}", deployed.image_id, deployed.device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_named_as_the_kernel_does() {
        assert_eq!(partition_path("/dev/sda", 2), "/dev/sda2");
        assert_eq!(partition_path("/dev/nvme0n1", 2), "/dev/nvme0n1p2");
    }

    #[test]
    fn the_sentence_is_ipas() {
        let mut deployed =
            Deployed { image_id: "i".into(), device: "/dev/sda".into(), ..Deployed::default() };
        deployed.uuids.insert("root uuid".into(), json!("r"));
        let plain = "image (i) written to device /dev/sda root_uuid=r";
        assert_eq!(sentence(&deployed, true), plain);
        deployed.uuids.insert("efi system partition uuid".into(), json!("e"));
        assert_eq!(sentence(&deployed, false), plain);
        assert_eq!(sentence(&deployed, true), format!("{plain} efi_system_partition_uuid=e"));
    }
}
