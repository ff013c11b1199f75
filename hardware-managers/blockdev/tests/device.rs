//! Devices on regular files everywhere, and on loop devices where the tests may make them.
#![expect(clippy::unwrap_used, reason = "tests panic on purpose")]

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tacit_blockdev::{Access, AlignedBuf, Device, Error, HeldBy, Holder, holders, set_immutable};

const MIB: u64 = 1 << 20;

fn file_of(len: u64) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(len).unwrap();
    file
}

/// A loop device, detached when dropped.
struct Loop {
    path: PathBuf,
    backing: tempfile::NamedTempFile,
}

impl Loop {
    /// `None` without the right to make one.
    fn new(len: u64, sector: u32) -> Option<Self> {
        Self::over(file_of(len), sector)
    }

    fn over(backing: tempfile::NamedTempFile, sector: u32) -> Option<Self> {
        File::options().read(true).write(true).open("/dev/loop-control").ok()?;
        let output = Command::new("losetup")
            .args(["--find", "--show", "--sector-size", &sector.to_string()])
            .arg(backing.path())
            .output()
            .ok()?;
        if !output.status.success() {
            eprintln!("no loop device: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        let path = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        Some(Self { path, backing })
    }

    /// Bytes of the backing file that take room.
    fn allocated(&self) -> u64 {
        self.backing.as_file().metadata().unwrap().blocks() * 512
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let status = Command::new("losetup").arg("--detach").arg(&self.path).status();
        assert!(status.is_ok_and(|status| status.success()), "{} stays", self.path.display());
    }
}

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed) | 1).collect()
}

/// Writes and reads of every alignment, checked against a copy in memory.
fn exercise(device: &Device) {
    let size = device.size_bytes();
    let mut model = vec![0u8; size as usize];
    let spans: &[(u64, u64)] = &[
        (0, 1),
        (511, 2),
        (512, 512),
        (4096, 8192),
        (5000, 1),
        (4095, 4098),
        (MIB - 7, 3 * MIB + 11),
        (size - 1, 1),
        (size - 4096, 4096),
        (size - 5000, 4999),
        (100, 0),
    ];
    for (index, &(offset, len)) in spans.iter().enumerate() {
        let bytes = pattern(len as usize, index as u8);
        device.write_at(offset, &bytes).unwrap();
        model[offset as usize..(offset + len) as usize].copy_from_slice(&bytes);
    }
    let mut aligned = AlignedBuf::new(2 * MIB as usize);
    aligned.fill(0x5a);
    device.write_at(4 * MIB, &aligned).unwrap();
    model[4 * MIB as usize..6 * MIB as usize].fill(0x5a);

    for (offset, len) in [(0u64, size), (1, size - 1), (777, 12345), (4 * MIB - 1, 3), (size, 0)] {
        let mut got = vec![0u8; len as usize];
        device.read_at(offset, &mut got).unwrap();
        assert!(got == model[offset as usize..(offset + len) as usize], "{len} bytes at {offset}");
    }
    let mut got = AlignedBuf::new(MIB as usize);
    device.read_at(4 * MIB, &mut got).unwrap();
    assert!(got.iter().all(|&byte| byte == 0x5a));

    for (offset, len) in [(3u64, 5u64), (MIB + 100, MIB), (4 * MIB, MIB), (size - 513, 513)] {
        device.zero(offset, len).unwrap();
        model[offset as usize..(offset + len) as usize].fill(0);
    }
    device.flush().unwrap();
    let mut got = vec![0u8; size as usize];
    device.read_at(0, &mut got).unwrap();
    assert!(got == model, "after zeroing");

    assert!(matches!(device.write_at(size, &[1]), Err(Error::OutOfRange { .. })));
    assert!(matches!(device.read_at(u64::MAX, &mut [0]), Err(Error::OutOfRange { .. })));
    assert!(matches!(device.zero(size - 1, 2), Err(Error::OutOfRange { .. })));
    device.reread_partition_table().unwrap();
}

#[test]
fn files_read_and_write_at_any_alignment() {
    let file = file_of(8 * MIB + 700);
    let device = Device::open(file.path(), Access::Exclusive).unwrap();
    assert_eq!((device.size_bytes(), device.logical_sector()), (8 * MIB + 700, 512));
    assert!(!device.is_block_device() && !device.is_read_only());
    exercise(&device);
    device.discard(0, MIB).unwrap();
    assert_eq!(
        Device::open(file.path(), Access::Read).unwrap().with_logical_sector(4096).logical_sector(),
        4096
    );
}

#[test]
fn loop_devices_read_and_write_at_any_alignment() {
    for sector in [512, 4096] {
        let Some(disk) = Loop::new(8 * MIB, sector) else { return };
        let device = Device::open(&disk.path, Access::ReadWrite).unwrap();
        assert!(device.is_block_device() && !device.is_read_only());
        assert_eq!((device.size_bytes(), device.logical_sector()), (8 * MIB, sector));
        assert!(device.physical_sector() >= sector);
        exercise(&device);
        device.discard(0, 8 * MIB).unwrap();
    }
}

#[test]
fn exclusive_access_is_refused_while_another_holds_it() {
    let Some(disk) = Loop::new(8 * MIB, 512) else { return };
    let held = Device::open(&disk.path, Access::Exclusive).unwrap();
    let refused = Device::open(&disk.path, Access::Exclusive).unwrap_err();
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains(disk.path.to_str().unwrap()));
    drop(held);
    Device::open(&disk.path, Access::Exclusive).unwrap();
}

#[test]
fn files_and_devices_behind_a_loop_device_are_in_use() {
    let Some(disk) = Loop::new(8 * MIB, 512) else { return };
    let file = disk.backing.path();
    let behind = Holder { device: file.to_owned(), by: HeldBy::Loop(disk.path.clone()) };
    assert_eq!(holders(file).unwrap(), [behind]);
    assert_eq!(holders(&disk.path).unwrap(), []);
    let output = Command::new("losetup").args(["--find", "--show"]).arg(&disk.path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let upper = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    let found = holders(&disk.path);
    let detached = Command::new("losetup").arg("--detach").arg(&upper).status().unwrap();
    assert!(detached.success());
    assert_eq!(found.unwrap(), [Holder { device: disk.path.clone(), by: HeldBy::Loop(upper) }]);
}

#[test]
fn neighbours_in_one_sector_do_not_overwrite_each_other() {
    let Some(disk) = Loop::new(MIB, 4096) else { return };
    let device = Arc::new(Device::open(&disk.path, Access::ReadWrite).unwrap());
    let writers: Vec<_> = (0..8u64)
        .map(|lane| {
            let device = Arc::clone(&device);
            std::thread::spawn(move || {
                for round in 0..64u64 {
                    device.write_at(round * 4096 + lane * 512, &[lane as u8 + 1; 512]).unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let mut got = vec![0; 64 * 4096];
    device.read_at(0, &mut got).unwrap();
    for (index, piece) in got.chunks(512).enumerate() {
        assert!(piece.iter().all(|&byte| usize::from(byte) == index % 8 + 1), "piece {index}");
    }
}

/// Fills a device, gives most of it back with both edges inside sectors, and looks at every byte.
fn deallocate(device: &Device) {
    let size = device.size_bytes() as usize;
    let mut model = pattern(size, 9);
    device.write_at(0, &model).unwrap();
    let (from, to) = (MIB as usize + 100, size - 5000);
    device.deallocate(from as u64, (to - from) as u64).unwrap();
    model[from..to].fill(0);
    device.flush().unwrap();
    let mut got = vec![1; size];
    device.read_at(0, &mut got).unwrap();
    assert!(got == model, "after deallocating");
    assert!(matches!(device.deallocate(size as u64 - 1, 2), Err(Error::OutOfRange { .. })));
}

#[test]
fn deallocated_ranges_read_as_zeros_and_give_their_room_back() {
    let memory = Path::new("/dev/shm");
    for folder in [Some(std::env::temp_dir()), memory.is_dir().then(|| memory.to_owned())] {
        let Some(folder) = folder else { continue };
        let empty = || {
            let file = tempfile::NamedTempFile::new_in(&folder).unwrap();
            file.as_file().set_len(16 * MIB).unwrap();
            file
        };
        let file = empty();
        deallocate(&Device::open(file.path(), Access::ReadWrite).unwrap());
        let allocated = file.as_file().metadata().unwrap().blocks() * 512;
        assert!(allocated < 3 * MIB, "{allocated} bytes of {} are still allocated", folder.display());

        for sector in [512, 4096] {
            let Some(disk) = Loop::over(empty(), sector) else { return };
            let device = Device::open(&disk.path, Access::ReadWrite).unwrap();
            // A plain zeroing before it must not cost the device its ability to give blocks back: on a loop device
            // over tmpfs the kernel forgets that it has any when zeroing without deallocation was tried once.
            device.zero(0, MIB).unwrap();
            deallocate(&device);
            assert!(disk.allocated() < 3 * MIB, "{} bytes are still allocated", disk.allocated());
        }
    }
}

#[test]
fn files_are_accessed_directly_where_their_blocks_allow_it() {
    let whole = file_of(8 * MIB);
    let device = Device::open(whole.path(), Access::ReadWrite).unwrap();
    exercise(&device);
    let odd = file_of(8 * MIB + 700);
    let odd_device = Device::open(odd.path(), Access::ReadWrite).unwrap();
    assert!(!odd_device.is_direct(), "direct I/O would make this file longer");
    exercise(&odd_device);
    assert_eq!(odd.as_file().metadata().unwrap().len(), 8 * MIB + 700);
    assert_eq!(whole.as_file().metadata().unwrap().len(), 8 * MIB);
}

#[test]
fn threads_write_and_zero_side_by_side() {
    let file = file_of(32 * MIB);
    let disk = Loop::new(32 * MIB, 4096);
    let paths = std::iter::once(file.path()).chain(disk.as_ref().map(|disk| disk.path.as_path()));
    for path in paths {
        let device = Device::open(path, Access::ReadWrite).unwrap();
        device.write_at(0, &vec![0xee; 32 * MIB as usize]).unwrap();
        std::thread::scope(|scope| {
            for lane in 0..4u64 {
                let device = &device;
                scope.spawn(move || {
                    let mut block = AlignedBuf::new(MIB as usize);
                    block.fill(lane as u8 + 1);
                    for at in (lane..32).step_by(4) {
                        // The second half of every other MiB is a hole.
                        device.write_at(at * MIB, &block).unwrap();
                        if at % 2 == 1 {
                            device.deallocate(at * MIB + MIB / 2 + 3, MIB / 2 - 3).unwrap();
                        }
                    }
                });
            }
        });
        let mut got = vec![0; 32 * MIB as usize];
        device.read_at(0, &mut got).unwrap();
        for (at, block) in got.chunks(MIB as usize).enumerate() {
            let data = if at % 2 == 1 { MIB as usize / 2 + 3 } else { MIB as usize };
            assert!(block[..data].iter().all(|&byte| usize::from(byte) == at % 4 + 1), "MiB {at}");
            assert!(block[data..].iter().all(|&byte| byte == 0), "hole of MiB {at}");
        }
    }
}

#[test]
fn only_block_devices_and_files_are_opened() {
    for path in ["/dev/null", "/proc"] {
        let error = Device::open(Path::new(path), Access::Read).unwrap_err();
        assert!(matches!(error, Error::NotADevice { .. }), "{error}");
    }
    let error = Device::open(Path::new("/dev/no-such-disk"), Access::Read).unwrap_err();
    assert_eq!(error.to_string(), "cannot open /dev/no-such-disk");
    assert_eq!(error.io_error().unwrap().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn failed_writes_name_device_and_offset() {
    let file = file_of(MIB);
    let device = Device::open(file.path(), Access::Read).unwrap();
    let error = device.write_at(4096, &[1; 10]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot write 10 bytes at offset 4096 of {}", file.path().display())
    );
}

#[test]
fn the_immutable_flag_is_set_and_cleared() {
    let file = file_of(1);
    match set_immutable(file.path(), true) {
        Ok(()) => {
            let refused = File::options().write(true).open(file.path()).is_err();
            set_immutable(file.path(), false).unwrap();
            assert!(refused, "an immutable file was opened for writing");
            File::options().write(true).open(file.path()).unwrap();
        }
        // Not every file system has the flag, and not everyone may set it.
        Err(Error::Ioctl { request, .. }) => eprintln!("{request} is not possible here"),
        Err(error) => panic!("{error}"),
    }
}

/// Neither files nor loop devices take commands of a drive's protocol, whatever errno the kernel says so with.
#[test]
fn what_is_no_drive_passes_no_commands() {
    use std::time::Duration;

    use tacit_blockdev::{CommandError, Drive, NvmeCommand, ScsiCommand, Transfer};

    let file = file_of(MIB);
    let node = Loop::new(MIB, 512);
    let paths = std::iter::once(file.path().to_owned()).chain(node.iter().map(|node| node.path.clone()));
    for path in paths {
        let device = Device::open(&path, Access::ReadWrite).unwrap();
        let timeout = Duration::from_secs(5);
        let mut data = [0; 4096];
        let identify =
            NvmeCommand { opcode: 0x06, dwords: [1, 0, 0, 0, 0, 0], timeout, ..NvmeCommand::default() };
        let answer = device.nvme(&identify, Transfer::FromDevice(&mut data));
        assert!(matches!(answer, Err(CommandError::NoPassThrough)), "{}: {answer:?}", path.display());
        assert!(matches!(device.nvme_namespace(), Err(CommandError::NoPassThrough)));
        let inquiry = ScsiCommand { cdb: &[0x12, 0, 0, 0, 36, 0], timeout };
        let answer = device.scsi(&inquiry, Transfer::FromDevice(&mut data));
        assert!(matches!(answer, Err(CommandError::NoPassThrough)), "{}: {answer:?}", path.display());
        let answer = device.opal_revert_by_psid("0123456789ABCDEF0123456789ABCDEF");
        assert!(matches!(answer, Err(CommandError::NoPassThrough)), "{}: {answer:?}", path.display());
    }
}

/// A command whose opcode says that it reads is never given memory that must not change.
#[test]
fn a_transfer_against_the_opcode_is_refused() {
    use tacit_blockdev::{CommandError, Drive, NvmeCommand, Transfer};

    let file = file_of(MIB);
    let device = Device::open(file.path(), Access::ReadWrite).unwrap();
    let identify = NvmeCommand { opcode: 0x06, ..NvmeCommand::default() };
    let answer = device.nvme(&identify, Transfer::ToDevice(&[0; 16]));
    assert!(matches!(answer, Err(CommandError::Transport { .. })), "{answer:?}");
}
