use serde_json::Map;
use tacit_blockdev::{Access, Device};

use super::*;
use crate::drives::DriveKind;
use crate::drives::simulated::{Content, NvmeIdentity, SimulatedClock, SimulatedNvme};
use crate::erase::tests::{Bench, MIB};
use crate::managers::Silent;

fn block(offset: u64, pass: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    fill(&mut block, 77, offset, pass);
    block
}

#[test]
fn wrong_blocks_are_told_apart() {
    assert_eq!(check(&block(4096, 2), 77, 4096, 2), Ok(()));
    let error = |block: &[u8]| check(block, 77, 4096, 2).unwrap_err();
    assert!(error(&block(8192, 2)).contains("that was written at 8192"));
    assert!(error(&block(4096, 1)).contains("a write was lost"));
    assert!(error(&vec![0; BLOCK]).contains("not what was written"));
    for at in [0, 17, 20, BLOCK - 1] {
        let mut flipped = block(4096, 2);
        flipped[at] ^= 1;
        assert!(error(&flipped).contains("not what was written"), "{at}");
    }
}

#[test]
fn a_whole_disk_is_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let size = (2 << 20) + 3 * BLOCK as u64;
    File::create(&path).unwrap().set_len(size + 100).unwrap();
    let device = Device::open(&path, Access::ReadWrite).unwrap();
    let worker = Worker::alone(None);
    assert!(exercise(&worker, &device, 5, 0).is_ok() && exercise(&worker, &device, 5, 1).is_ok());
    assert_eq!(worker.done(), 4 * size);
    let mut last = vec![0; BLOCK];
    device.read_at(size - BLOCK as u64, &mut last).unwrap();
    assert_eq!(check(&last, 5, size - BLOCK as u64, 1), Ok(()));
    let over = exercise(&Worker::alone(Some(Duration::ZERO)), &device, 5, 2);
    assert!(matches!(over, Err(End::Over)));
}

const ONCE: Order = Order { loops: 1, runtime: None };

fn burn(bench: Bench, order: Order) -> Result<Value, StepError> {
    let (nothing, args) = (Value::Null, Map::new());
    let context = StepContext { node: &nothing, ports: &nothing, args: &args, observer: &Silent };
    let disks = bench.disks();
    Subjects::among(Arc::new(bench), disks, &context)?.burn(&context, order)
}

#[test]
fn disks_are_burned_and_named() {
    let content = Arc::new(Content::new(4 * MIB, 512));
    let mut bench = Bench::new(&SimulatedClock::new());
    bench.plain("/dev/vda", &content);
    bench.plain("/dev/vdb", &Arc::new(Content::new(4 * MIB, 512))).skip_listed = true;
    let found = burn(bench, ONCE).unwrap();
    assert_eq!((&found["result"], &found["disks"]), (&json!("passed"), &json!(["/dev/vda"])));
    assert_eq!(found["done"], 8 * MIB);
    assert!(found["skipped"][0].as_str().unwrap().starts_with("/dev/vdb: named by skip_block_devices"));
    assert_eq!(content.writes(), 4);
}

#[test]
fn what_erasing_refuses_is_not_overwritten() {
    let clock = SimulatedClock::new();
    // Another machine has registered with it.
    let identity = NvmeIdentity { keys: Some(vec![7]), ..NvmeIdentity::default() };
    let shared = Arc::new(SimulatedNvme::new(Content::new(4 * MIB, 4096), identity, clock.clone()));
    let mut bench = Bench::new(&clock);
    bench.put("/dev/nvme0n1", DriveKind::Nvme, shared.clone());
    let member = Arc::new(Content::new(4 * MIB, 512));
    bench.plain("/dev/vda", &member).raid_member = Some("md RAID".to_owned());
    let free = Arc::new(Content::new(4 * MIB, 512));
    bench.plain("/dev/vdb", &free);
    let error = burn(bench, ONCE).unwrap_err();
    let text = error.details();
    assert!(text.contains("/dev/nvme0n1: 1 initiators have registered"), "{text}");
    assert!(text.contains("/dev/vda: carries a md RAID superblock") && !text.contains("/dev/vdb"), "{text}");
    assert_eq!((shared.content.writes(), member.writes(), free.writes()), (0, 0, 0));
    assert!(!error.disk_touched());
}

#[test]
fn what_came_in_the_way_since_the_plan_is_heeded() {
    let content = Arc::new(Content::new(4 * MIB, 512));
    let mut bench = Bench::new(&SimulatedClock::new());
    bench.plain("/dev/vda", &content);
    bench.hold_later("/dev/vda", "/dev/vda is mounted at /srv");
    assert!(burn(bench, ONCE).is_err());
    assert_eq!(content.writes(), 0);
}

#[test]
fn a_disk_that_was_not_reached_in_time_has_not_passed() {
    let content = Arc::new(Content::new(4 * MIB, 512));
    let mut bench = Bench::new(&SimulatedClock::new());
    bench.plain("/dev/vda", &content);
    let error = burn(bench, Order { runtime: Some(Duration::from_nanos(1)), ..ONCE }).unwrap_err();
    assert_eq!(error.details(), "/dev/vda: nothing of it was tested");
}
