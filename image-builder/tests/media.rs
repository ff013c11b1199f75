//! Per-node media: the overlay, its reads at any offset, and templates that are refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tacit_image::{MediaError, MediaTemplate, NodeMedium};
use tacit_protocol::medium::{ImagePolicy, NODE_CONFIG_VERSION, NodeConfig, REGION_MARKER, REGION_SIZE};
use tempfile::TempDir;

const BEFORE: usize = 3_000_017;
const AFTER: usize = 100_003;

fn config(uuid: &str) -> NodeConfig {
    NodeConfig {
        version: NODE_CONFIG_VERSION,
        node_uuid: uuid.into(),
        made_at: 1_700_000_000,
        ca_certificate: "ca".into(),
        certificate: "certificate".repeat(100),
        private_key: "very secret".repeat(20),
        network_data: None,
        port: None,
        image_policy: ImagePolicy::default(),
    }
}

fn region() -> Vec<u8> {
    let mut region = REGION_MARKER.to_vec();
    region.resize(REGION_SIZE, b' ');
    region
}

fn template_of(parts: &[&[u8]]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.iso");
    let mut file = fs::File::create(&path).unwrap();
    parts.iter().for_each(|part| file.write_all(part).unwrap());
    (folder, path)
}

fn template() -> (TempDir, Arc<MediaTemplate>) {
    let before: Vec<u8> = (0..BEFORE).map(|index| (index % 251) as u8).collect();
    let (folder, path) = template_of(&[&before, &region(), &vec![7; AFTER]]);
    (folder, Arc::new(MediaTemplate::open(&path).unwrap()))
}

/// What the medium must look like.
fn expected(config: &NodeConfig) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..BEFORE).map(|index| (index % 251) as u8).collect();
    bytes.extend(config.to_region().unwrap());
    bytes.extend(vec![7; AFTER]);
    bytes
}

fn read(medium: &NodeMedium, mut offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match medium.read_at(offset, &mut bytes[filled..]).unwrap() {
            0 => break,
            count => (filled, offset) = (filled + count, offset + count as u64),
        }
    }
    bytes.truncate(filled);
    bytes
}

#[test]
fn a_medium_differs_from_the_template_in_its_region_only() {
    let (folder, template) = template();
    let config = config("one");
    let medium = template.medium(&config).unwrap();
    assert_eq!(medium.len(), template.len());
    assert_eq!(template.region_offset(), BEFORE as u64);
    assert!(read(&medium, 0, medium.len() as usize) == expected(&config));

    let copy = folder.path().join("node.iso");
    medium.write_to(&copy).unwrap();
    assert!(fs::read(&copy).unwrap() == expected(&config));
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600, "it holds a key");
    assert!(matches!(medium.write_to(&copy), Err(MediaError::Io { .. })), "existing files are kept");

    let read_back = NodeConfig::from_region(&read(&medium, BEFORE as u64, REGION_SIZE)).unwrap();
    assert_eq!(read_back, config);
}

#[test]
fn media_of_one_template_do_not_mix() {
    let (_folder, template) = template();
    let configs = ["one", "two", "three"].map(config);
    let media: Vec<_> = configs.iter().map(|config| template.medium(config).unwrap()).collect();
    std::thread::scope(|scope| {
        for (config, medium) in configs.iter().zip(&media) {
            scope.spawn(move || assert!(read(medium, 0, medium.len() as usize) == expected(config)));
        }
    });
}

#[test]
fn debug_output_keeps_the_key() {
    let (_folder, template) = template();
    let text = format!("{:?}", template.medium(&config("one")).unwrap());
    assert!(text.contains("shared.iso") && !text.contains("very secret"), "{text}");
}

#[test]
fn files_without_one_whole_unfilled_region_are_refused() {
    let open = |parts: &[&[u8]]| {
        let (_folder, path) = template_of(parts);
        MediaTemplate::open(&path).unwrap_err()
    };
    let region = region();
    let mut dirty = region.clone();
    dirty[REGION_SIZE - 1] = 0;
    assert!(matches!(open(&[b""]), MediaError::NoRegion(_)));
    assert!(matches!(open(&[&region[1..]]), MediaError::NoRegion(_)));
    assert!(matches!(open(&[&config("one").to_region().unwrap()]), MediaError::NoRegion(_)));
    assert!(matches!(open(&[&region, b"x", &region]), MediaError::SeveralRegions(_)));
    assert!(matches!(
        open(&[b"x", &region[1..], &region[..REGION_SIZE - 1]]),
        MediaError::BrokenRegion { .. }
    ));
    assert!(matches!(open(&[b"x", &dirty]), MediaError::BrokenRegion { offset: 1, .. }));
    let absent = MediaTemplate::open("/nowhere/at.iso".as_ref()).unwrap_err();
    assert!(absent.to_string().contains("/nowhere/at.iso"));
}

#[test]
fn too_large_configurations_are_refused() {
    let (_folder, template) = template();
    let mut config = config("one");
    config.certificate = "x".repeat(REGION_SIZE);
    assert!(matches!(template.medium(&config), Err(MediaError::Config(_))));
}

#[test]
fn making_a_medium_is_quick_and_copies_nothing() {
    let (_folder, template) = template();
    let config = config("one");
    let started = Instant::now();
    let media: Vec<_> = (0..1000).map(|_| template.medium(&config).unwrap()).collect();
    let each = started.elapsed() / 1000;
    println!("a medium of {} bytes is made in {} µs", media[0].len(), each.as_micros());
    assert_eq!(Arc::strong_count(&template), 1001, "all media share one file");
}

#[test]
fn every_range_reads_as_from_a_copy() {
    let (_folder, template) = template();
    let config = config("one");
    let whole = expected(&config);
    let medium = template.medium(&config).unwrap();
    let region_end = BEFORE + REGION_SIZE;
    let offsets =
        prop_oneof![0..(whole.len() + 10), BEFORE - 50..BEFORE + 50, region_end - 50..region_end + 50];
    let lengths = prop_oneof![0..100usize, 0..2 * REGION_SIZE];
    let checked = TestRunner::default().run(&(offsets, lengths), |(offset, length)| {
        let end = whole.len().min(offset + length);
        prop_assert!(read(&medium, offset as u64, length) == whole[offset.min(end)..end]);
        Ok(())
    });
    checked.unwrap();
}
