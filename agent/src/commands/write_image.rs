//! Writes an image (IPA contract §2.1, §8).

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tacit_blockdev::{Access, Device};
use tacit_imaging::{
    ExpectedDigest, Md5, Source, WriteRequest, Written, decode_config_drive, write_image,
};

use super::image_request::ImageRequest;
use super::imaging_faults::from_imaging;
use super::imaging_job::{ImagingObserver, WatchedDisk};
use super::root_device;
use crate::agent::{Agent, Deployed};
use crate::jobs::{CommandError, JobContext};
use tacit_fetch::HttpSource;

/// Writes what `image_info` names onto the node's root device. Returns IPA's sentence about it.
pub(super) fn run(
    agent: &Arc<Agent>,
    job: &Arc<JobContext>,
    node: &Value,
    image_info: &Value,
    configdrive: Option<&str>,
) -> Result<String, CommandError> {
    let disk = root_device::choose(agent, node)?.name;
    let ImageRequest { info, urls, fetcher, algorithm, digest, config_drive } =
        ImageRequest::resolve(agent, job, image_info, configdrive)?;
    let digest = ExpectedDigest::parse(algorithm.as_deref(), &digest, Md5::Refused)
        .map_err(|error| CommandError::invalid_params(error.to_string()))?;
    let config_drive = config_drive
        .map(|encoded| decode_config_drive(&encoded))
        .transpose()
        .map_err(|error| CommandError::invalid_params(CommandError::chain(&error)))?;
    let sources = urls
        .into_iter()
        .map(|url| Box::new(HttpSource::new(fetcher.clone(), url)) as Box<dyn Source>)
        .collect();
    let request = WriteRequest {
        digests: vec![digest],
        disk_format: info.disk_format,
        config_drive,
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
    let text = sentence(&deployed);
    agent.set_deployed(Some(deployed));
    Ok(text)
}

/// Type of EFI system partitions in a GPT.
const EFI_SYSTEM: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

/// For whole-disk images, IPA's root UUID is the signature in the MBR.
fn describe(image_id: String, device: String, written: &Written) -> Deployed {
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

fn sentence(deployed: &Deployed) -> String {
    let root = deployed.uuids["root uuid"].as_str().unwrap_or_default();
    format!("image ({}) written to device {} root_uuid={root}", deployed.image_id, deployed.device)
}
