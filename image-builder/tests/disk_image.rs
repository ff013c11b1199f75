//! `tacit-image info` and `tacit-image bmap` on disk images.

#![cfg(feature = "disks")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::{Value, json};
use tacit_image::ImageError;
use tacit_image::cli::{Arguments, run};
use tacit_image::info::Info;
use tacit_imaging::Bmap;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// A sparse image of 20 MiB with an MBR, 5 MiB of data and a MiB of written zeros.
fn image(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(20 * MIB).unwrap();
    let mut mbr = [0; 512];
    // A Linux partition of 16 MiB from 1 MiB on.
    mbr[446..462].copy_from_slice(&[0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0x80, 0, 0]);
    mbr[510..].copy_from_slice(&[0x55, 0xaa]);
    file.write_all_at(&mbr, 0).unwrap();
    file.write_all_at(&vec![0xa5; 5 * MIB as usize], 2 * MIB).unwrap();
    file.write_all_at(&vec![0; MIB as usize], 10 * MIB).unwrap();
    path
}

fn bmap(arguments: &[&Path]) -> Result<(), ImageError> {
    let arguments = arguments.iter().map(|argument| argument.as_os_str().to_owned());
    let all = ["tacit-image".into(), "bmap".into()].into_iter().chain(arguments);
    run(Arguments::try_parse_from(all).unwrap()).map(drop)
}

fn json_of(path: &Path) -> Value {
    serde_json::to_value(Info::of(path).unwrap()).unwrap()
}

#[test]
fn a_map_is_made_beside_its_image() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(&folder);
    bmap(&[&image]).unwrap();
    let path = folder.path().join("disk.raw.bmap");
    let bytes = fs::read(&path).unwrap();
    let map = Bmap::parse(&bytes).unwrap();
    let ranges: Vec<_> = map.ranges().map(|range| range.bytes).collect();
    assert_eq!(ranges, [0..4096, 2 * MIB..4 * MIB, 4 * MIB..7 * MIB]);
    let sha256 = tacit_image::manifest::sha256(&bytes);
    let expected = json!({
        "kind": "block-map", "version": "2.0", "size_bytes": bytes.len(), "sha256": sha256,
        "image_size_bytes": 20 * MIB, "block_size_bytes": 4096, "mapped_bytes": 5 * MIB + 4096,
        "ranges": 3, "largest_range_bytes": 3 * MIB,
    });
    assert_eq!(json_of(&path), expected);
    assert!(Info::of(&path).unwrap().to_string().contains(&sha256));
    // Only the umask takes permissions away: the map is for a server.
    assert_ne!(path.metadata().unwrap().permissions().mode() & 0o444, 0o400);

    let other = folder.path().join("other.bmap");
    bmap(&["-o".as_ref(), &other, "--no-scan-zeros".as_ref(), &image]).unwrap();
    assert_eq!(Bmap::parse(&fs::read(&other).unwrap()).unwrap().mapped_bytes(), 6 * MIB + 4096);
}

#[test]
fn only_maps_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(&folder);
    let out = folder.path().join("out");
    bmap(&["-o".as_ref(), &out, &image]).unwrap();
    let first = fs::read(&out).unwrap();
    File::options().write(true).open(&image).unwrap().write_all_at(b"new", 15 * MIB).unwrap();
    bmap(&["-o".as_ref(), &out, &image]).unwrap();
    assert_ne!(fs::read(&out).unwrap(), first);

    let before = fs::read(&image).unwrap();
    let error = bmap(&["-o".as_ref(), &image, &image]).unwrap_err();
    assert!(error.to_string().ends_with("exists and is not a block map"), "{error}");
    assert_eq!(fs::read(&image).unwrap(), before);
    let error = bmap(&[&out]).unwrap_err();
    assert!(error.to_string().ends_with("is a block map; maps are made of raw images"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "something was left behind");
}

#[test]
fn images_are_described() {
    let folder = tempfile::tempdir().unwrap();
    let expected = json!({
        "kind": "disk-image", "format": "raw", "packed": null, "size_bytes": 20 * MIB,
        "virtual_size_bytes": 20 * MIB, "virtual_size_at_least": false, "qcow2": null,
        "partition_table": {
            "label": "dos", "sector_size_bytes": 512,
            "partitions": [{
                "number": 1, "name": null, "type": "0x83", "guid": null, "start_bytes": MIB, "size_bytes": 16 * MIB,
            }],
        },
        "partition_table_problem": null, "refused": null,
    });
    let path = image(&folder);
    assert_eq!(json_of(&path), expected);
    let packed = folder.path().join("packed");
    fs::write(&packed, zstd::encode_all(File::open(&path).unwrap(), 1).unwrap()).unwrap();
    let info = json_of(&packed);
    assert_eq!(info["packed"], "zstd");
    assert_eq!(info["partition_table"], expected["partition_table"]);
}

#[test]
fn what_is_refused_is_described_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let mut qcow2 = vec![0; 1 << 16];
    qcow2[..8].copy_from_slice(b"QFI\xfb\0\0\0\x02");
    qcow2[8..24].copy_from_slice(&[0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 4, 0, 0, 0, 16]);
    qcow2[24..32].copy_from_slice(&(2 * MIB).to_be_bytes());
    fs::write(&path, qcow2).unwrap();
    let info = json_of(&path);
    assert_eq!(info["virtual_size_bytes"], 2 * MIB);
    let expected = json!({
        "version": 2, "cluster_size_bytes": 1 << 16, "compression": "zlib", "allocated_bytes": null,
    });
    assert_eq!(info["qcow2"], expected);
    assert!(info["refused"].as_str().unwrap().ends_with("it needs a backing file"), "{info}");
    let text = Info::of(&path).unwrap().to_string();
    assert!(text.contains("\nqcow2    version 2, clusters of 64 KiB, compression zlib\nrefused "), "{text}");

    fs::write(&path, b"<bmap version=\"2.0\"></bmap>").unwrap();
    let error = Info::of(&path).unwrap_err();
    assert!(error.to_string().ends_with("is not a usable block map"), "{error}");
}
