//! Builds config drives: a FAT volume labelled `config-2` with `openstack/latest`, as cloud-init and others read it.
//! The same content gives the same bytes.

use std::io::{Cursor, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value};

use super::fault::Fault;
use crate::node::Node;

const LABEL: [u8; 11] = *b"config-2   ";
/// Room for the FATs, the directories and the rounding of files to clusters.
const OVERHEAD_BYTES: usize = 512 * 1024;

/// Files of `openstack/latest`, name and content.
pub(super) type Files = Vec<(String, Vec<u8>)>;

/// The files that a config drive given as an object has (API contract §2.4).
pub(super) fn files(mut fields: Map<String, Value>, node: &Node) -> Result<Files, Fault> {
    let mut meta =
        super::values::object("configdrive/meta_data", fields.shift_remove("meta_data").unwrap_or_default())?;
    // Readers tell by the UUID whether this is a new instance.
    meta.entry("uuid").or_insert_with(|| node.uuid.to_string().into());
    if let Some(name) = &node.name {
        meta.entry("name").or_insert_with(|| name.clone().into());
    }
    let mut files = vec![("meta_data.json".to_owned(), Value::Object(meta).to_string().into_bytes())];
    match fields.shift_remove("user_data").unwrap_or_default() {
        Value::Null => {}
        Value::String(text) => files.push(("user_data".to_owned(), text.into_bytes())),
        document @ (Value::Object(_) | Value::Array(_)) => {
            files.push(("user_data".to_owned(), document.to_string().into_bytes()));
        }
        _ => {
            return Err(Fault::invalid(
                "Invalid configdrive format: user_data is a string, an object or a list",
            ));
        }
    }
    for name in ["network_data", "vendor_data"] {
        if let Some(value) = fields.shift_remove(name) {
            let map = super::values::object(&format!("configdrive/{name}"), value)?;
            files.push((format!("{name}.json"), Value::Object(map).to_string().into_bytes()));
        }
    }
    Ok(files)
}

/// The volume as base64 text of its gzipped bytes.
pub(super) fn build(files: &Files) -> std::io::Result<String> {
    let content: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    // Clusters are no larger than 4 KiB up to 256 MiB, more than a config drive may have.
    let size = (content + files.len() * 4096 + OVERHEAD_BYTES).next_multiple_of(64 * 1024);
    let mut volume = Cursor::new(vec![0; size]);
    // A fixed id: bytes that change without a reason are a riddle to whoever compares them.
    let options = fatfs::FormatVolumeOptions::new().volume_label(LABEL).volume_id(0x5441_4349);
    fatfs::format_volume(&mut volume, options)?;
    {
        let disk = fatfs::FileSystem::new(&mut volume, fatfs::FsOptions::new())?;
        let latest = disk.root_dir().create_dir("openstack")?.create_dir("latest")?;
        for (name, bytes) in files {
            let mut file = latest.create_file(name)?;
            file.truncate()?;
            file.write_all(bytes)?;
            file.flush()?;
        }
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(volume.get_ref())?;
    Ok(STANDARD.encode(gzip.finish()?))
}
