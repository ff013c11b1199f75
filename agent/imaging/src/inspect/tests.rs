use std::io::{Cursor, Write};

use tempfile::NamedTempFile;

use super::*;

const MIB: usize = 1 << 20;

fn gpt_image(sector: usize) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0; 8 * MIB]);
    let mut gpt = gptman::GPT::new_from(&mut disk, sector as u64, [7; 16]).unwrap();
    gpt[1] = gptman::GPTPartitionEntry {
        partition_type_guid: [0x55; 16],
        unique_partition_guid: [1; 16],
        starting_lba: (MIB / sector) as u64,
        ending_lba: (2 * MIB / sector) as u64 - 1,
        attribute_bits: 0,
        partition_name: "root".into(),
    };
    gpt.write_into(&mut disk).unwrap();
    gptman::GPT::write_protective_mbr_into(&mut disk, sector as u64).unwrap();
    disk.into_inner()
}

fn inspected(bytes: &[u8]) -> Result<Inspected, InspectError> {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    inspect(file.path())
}

fn image_info(bytes: &[u8]) -> ImageInfo {
    match inspected(bytes).unwrap() {
        Inspected::Image(info) => *info,
        Inspected::Map(_) => panic!("taken for a map"),
    }
}

/// One data cluster of 64 KiB in the middle of a MiB; its tables lie in clusters 1 and 2.
fn qcow2_image() -> Vec<u8> {
    let mut file = vec![0; 4 << 16];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb\0\0\0\x03");
    put(20, &16u32.to_be_bytes());
    put(24, &(MIB as u64).to_be_bytes());
    put(36, &1u32.to_be_bytes());
    put(40, &(1u64 << 16).to_be_bytes());
    put(96, &4u32.to_be_bytes());
    put(100, &112u32.to_be_bytes());
    put(1 << 16, &(1u64 << 63 | 2 << 16).to_be_bytes());
    put((2 << 16) + 8 * 8, &(1u64 << 63 | 3 << 16).to_be_bytes());
    put(3 << 16, &[1; 1 << 16]);
    file
}

#[test]
fn raw_images_tell_their_table() {
    for sector in [512, 4096] {
        let image = gpt_image(sector);
        let info = image_info(&image);
        assert_eq!((info.file_bytes, info.format, info.packed), (image.len() as u64, Some("raw"), None));
        assert_eq!(info.disk, Some(DiskSize { bytes: image.len() as u64, exact: true }));
        assert!(info.refused.is_none() && info.qcow2.is_none());
        let table = info.table.unwrap().unwrap();
        assert_eq!((table.kind, table.sector), (TableKind::Gpt, sector as u32));
        let [partition] = &table.partitions[..] else { panic!("{table:?}") };
        assert_eq!(partition.name.as_deref(), Some("root"));
        assert_eq!(partition.size_lba * sector as u64, MIB as u64);
    }
}

#[test]
fn tables_that_are_none_or_cut_off_are_told() {
    assert_eq!(image_info(&[7; 5000]).table, Some(Err(TableError::NoPartitions)));
    let cut = &gpt_image(512)[..4 * MIB];
    assert!(matches!(image_info(cut).table, Some(Err(TableError::BeyondDisk { .. }))));
}

#[test]
fn packed_images_are_looked_into() {
    let image = gpt_image(512);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&image).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
    xz.write_all(&image).unwrap();
    let zstd = zstd::bulk::compress(&image, 1).unwrap();
    let packed =
        [("gzip", gzip.finish().unwrap(), false), ("xz", xz.finish().unwrap(), true), ("zstd", zstd, false)];
    for (codec, packed, exact) in packed {
        let info = image_info(&packed);
        assert_eq!((info.format, info.packed), (Some("raw"), Some(codec)));
        assert_eq!(info.disk, Some(DiskSize { bytes: image.len() as u64, exact }), "{codec}");
        assert_eq!(info.file_bytes, packed.len() as u64);
        assert_eq!(info.table.unwrap().unwrap().partitions.len(), 1);
    }
    let info = image_info(&zstd::encode_all(&qcow2_image()[..], 1).unwrap());
    assert_eq!((info.format, info.packed), (Some("qcow2"), Some("zstd")));
    assert!(matches!(info.refused, Some(Failure::UnsupportedInside { .. })));
    let info = image_info(b"\x1f\x8b\x08 this is no deflate");
    assert_eq!((info.format, info.packed), (None, Some("gzip")));
    assert!(matches!(info.refused, Some(Failure::Decode { .. })));
}

#[test]
fn qcow2_images_tell_their_header_and_what_they_hold() {
    let image = qcow2_image();
    let info = image_info(&image);
    assert!(info.refused.is_none(), "{:?}", info.refused);
    assert_eq!(info.disk, Some(DiskSize { bytes: MIB as u64, exact: true }));
    let expected = Qcow2Info {
        version: 3,
        cluster_bytes: Some(1 << 16),
        compression: Some("zlib"),
        allocated_bytes: Some(1 << 16),
    };
    assert_eq!(info.qcow2, Some(expected));
    assert_eq!(info.table, Some(Err(TableError::NoPartitions)));

    // A refused one still tells what its header says.
    let mut backed = image.clone();
    backed[8..20].copy_from_slice(&[0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 4]);
    let info = image_info(&backed);
    assert!(matches!(info.refused, Some(Failure::Qcow2 { source: crate::qcow2::Refusal::BackingFile, .. })));
    assert_eq!(info.qcow2, Some(Qcow2Info { allocated_bytes: None, ..expected }));
    assert_eq!(info.disk, Some(DiskSize { bytes: MIB as u64, exact: true }));
    let mut wild = image.clone();
    wild[20..24].fill(0xff);
    let info = image_info(&wild);
    assert_eq!(info.qcow2.unwrap().cluster_bytes, None);
    assert!(info.refused.is_some());
    for len in 0..120 {
        assert!(image_info(&image[..len]).refused.is_some() || len < 4);
    }
}

#[test]
fn what_is_not_written_is_named() {
    for (magic, format) in [(&b"KDMV"[..], "vmdk"), (b"vhdxfile", "vhdx"), (b"QED\0", "qed")] {
        let info = image_info(&[magic, &[0; 1000]].concat());
        assert_eq!(info.format, Some(format));
        assert!(matches!(info.refused, Some(Failure::UnsupportedFormat { .. })));
        assert!(info.table.is_none() && info.disk.is_none());
    }
    assert!(matches!(image_info(b"").refused, Some(Failure::Empty { .. })));
}

#[test]
fn maps_are_read_and_damaged_ones_refused() {
    let map = include_bytes!("../bmap/tests/bmaptool.bmap");
    for prefix in [&b""[..], b"\n"] {
        // White space changes the checksum, and only that.
        match (inspected(&[prefix, map].concat()), prefix) {
            (Ok(Inspected::Map(map)), b"") => assert_eq!(map.image_size(), 32000),
            (Err(InspectError::Map { .. }), b"\n") => {}
            (other, _) => panic!("{other:?}"),
        }
    }
    let long = [&map[..], &vec![b' '; Bmap::MAX_BYTES]].concat();
    assert!(matches!(inspected(&long), Err(InspectError::Map { source: BmapError::TooLarge { .. }, .. })));
    // Other XML is no map.
    assert_eq!(image_info(b"<?xml version=\"1.0\"?><domain/>").format, Some("raw"));
}

#[test]
fn folders_and_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(inspect(folder.path()), Err(InspectError::Io { .. })));
    assert!(matches!(inspect(&folder.path().join("none")), Err(InspectError::Io { doing: "open", .. })));
}
