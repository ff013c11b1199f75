//! The metadata wipe as other programs see it: what the formats' own tools made, nobody recognises afterwards, and
//! nobody brings back. `make setup` installs the tools; without one of them a test fails, because it shows nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, json};
use tacit_hardware::{GenericHardwareManager, HardwareManager, StepContext};
use tacit_model::{Proof, ProofResult};

use crate::cleaning::Observer;
use crate::disk_image::{LINUX, MIB, assert_unrecognised, gpt, put, seen_by_wipefs, sparse, tool};
use crate::tree::{Tree, machine_of};

const GUID: &str = "c04d0f1e-e02f-4725-9434-0699b52d8ff2";

/// Runs a tool on the file that `@` stands for; exit status and all that it said.
fn ask(command: &[&str], file: &Path) -> (i32, String) {
    let (name, arguments) = command.split_first().unwrap();
    let arguments = arguments.iter().map(|word| if *word == "@" { file.as_os_str() } else { word.as_ref() });
    let output = Command::new(tool(name))
        .args(arguments)
        .env("TERM", "dumb")
        .current_dir(file.parent().unwrap())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

/// Wipes the file as the only disk of a machine, clusters' file systems too.
fn wipe(disk: &Path) {
    let manager = GenericHardwareManager::new(machine_of(&Tree::new(), disk));
    let (node, ports) = (json!({"driver_internal_info": {"wipe_special_filesystems": true}}), json!([]));
    let (args, observer) = (Map::new(), Observer::default());
    let context = StepContext { node: &node, ports: &ports, args: &args, observer: &observer };
    let mut result = manager.run_step("erase_devices_metadata", &context).unwrap();
    let proofs: Vec<Proof> = serde_json::from_value(result["proofs"].take()).unwrap();
    assert_eq!(proofs.iter().map(|proof| proof.result).collect::<Vec<_>>(), [ProofResult::Proven]);
}

/// How a format is made, and by what it could come back.
struct Format {
    make: &'static [&'static str],
    mib: u64,
    /// Accepts what was made, and nothing of what is left.
    accepts: &'static [&'static str],
    /// What it says when it accepts; its exit status tells where there is nothing here.
    says: &'static [&'static str],
    /// Whether it is still accepted after its first MiB was zeroed: then that is not enough, and the wipe has to find
    /// the copies without the original.
    copies: bool,
}

const fn made(make: &'static [&'static str], accepts: &'static [&'static str]) -> Format {
    Format { make, mib: 400, accepts, says: &[], copies: false }
}

const fn copied(
    make: &'static [&'static str],
    accepts: &'static [&'static str],
    says: &'static [&'static str],
) -> Format {
    Format { says, copies: true, ..made(make, accepts) }
}

fn check(format: &Format) {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    for damaged in [false, true] {
        if damaged && !format.copies {
            continue;
        }
        fs::remove_file(&disk).ok();
        sparse(&disk, format.mib * MIB);
        let (status, said) = ask(format.make, &disk);
        assert_eq!(status, 0, "{:?}: {said}", format.make);
        assert!(!seen_by_wipefs(&disk).is_empty(), "{:?} left nothing to find", format.make);
        if damaged {
            put(&disk, 0, &vec![0; usize::try_from(MIB).unwrap()]);
        }
        let accepted = || {
            let (status, said) = ask(format.accepts, &disk);
            let accepted = format.says.iter().any(|word| said.contains(word));
            (accepted || (format.says.is_empty() && status == 0), said)
        };
        let (was_accepted, said) = accepted();
        assert!(was_accepted, "{:?} does not accept what was made: {said}", format.accepts);
        wipe(&disk);
        assert_unrecognised(&disk, &[]);
        let (is_accepted, said) = accepted();
        assert!(!is_accepted, "{:?}, damaged {damaged}: {:?}: {said}", format.make, format.accepts);
    }
}

fn check_all(formats: &[Format]) {
    formats.iter().for_each(check);
}

#[test]
fn ext_does_not_come_back() {
    const SMALL: &[&str] = &["e2fsck", "-fn", "-b", "8193", "-B", "1024", "@"];
    const USUAL: &[&str] = &["e2fsck", "-fn", "-b", "32768", "-B", "4096", "@"];
    // Group 3 of four KiB blocks, when group 1 is not asked.
    const THIRD: &[&str] = &["e2fsck", "-fn", "-b", "98304", "-B", "4096", "@"];
    // A group that has a copy only because every group has one: only the superblock tells.
    const SECOND: &[&str] = &["e2fsck", "-fn", "-b", "65536", "-B", "4096", "@"];
    // Without a journal, whose inode lies in the first MiB: e2fsck gives up without it.
    const EXT4: &[&str] = &["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", "^has_journal", "@"];
    let ext = |make, accepts| Format { mib: 600, ..copied(make, accepts, &["Pass 1"]) };
    check_all(&[
        ext(&["mke2fs", "-q", "-F", "-b", "1024", "@"], SMALL),
        ext(EXT4, USUAL),
        ext(EXT4, THIRD),
        ext(
            &[
                "mke2fs",
                "-q",
                "-F",
                "-t",
                "ext4",
                "-b",
                "4096",
                "-O",
                "^has_journal,^sparse_super,^resize_inode",
                "@",
            ],
            SECOND,
        ),
    ]);
}

#[test]
fn other_file_systems_with_copies_do_not_come_back() {
    check_all(&[
        copied(
            &["mkfs.xfs", "-q", "-f", "@"],
            &["xfs_repair", "-n", "@"],
            &["Phase 2", "verified secondary superblock"],
        ),
        Format {
            says: &["Phase 2", "verified secondary superblock"],
            mib: 1200,
            ..made(&["mkfs.xfs", "-q", "-f", "-d", "agcount=7", "@"], &["xfs_repair", "-n", "@"])
        },
        copied(
            &["mkfs.btrfs", "-q", "-f", "@"],
            &["btrfs", "rescue", "super-recover", "-v", "-y", "@"],
            &["All supers are valid", "Recovered bad superblocks"],
        ),
        made(&["mkntfs", "-F", "-Q", "-q", "@"], &["ntfsfix", "-n", "@"]),
        made(&["mkfs.vfat", "-F", "32", "@"], &["fsck.vfat", "-n", "@"]),
        made(&["mkfs.exfat", "@"], &["fsck.exfat", "-n", "@"]),
        made(&["mkfs.f2fs", "-q", "-f", "@"], &["fsck.f2fs", "--dry-run", "@"]),
        // Its own tools want a block device.
        made(&["mkfs.nilfs2", "-q", "@"], &["blkid", "-p", "@"]),
        made(&["jfs_mkfs", "-q", "@"], &["jfs_fsck", "-n", "@"]),
        made(&["mkudffs", "@"], &["udfinfo", "@"]),
    ]);
}

#[test]
fn file_systems_of_clusters_do_not_come_back() {
    check_all(&[
        Format {
            mib: 1200,
            ..copied(
                &["mkfs.ocfs2", "-q", "-F", "-M", "local", "@"],
                &["fsck.ocfs2", "-n", "-r", "1", "@"],
                &["from backup block"],
            )
        },
        made(&["mkfs.gfs2", "-q", "-O", "-p", "lock_nolock", "@"], &["tunegfs2", "-l", "@"]),
    ]);
}

#[test]
fn encryption_and_caches_do_not_come_back() {
    // A file as its own key: this is about headers.
    const LUKS1: &[&str] = &[
        "cryptsetup",
        "luksFormat",
        "--type=luks1",
        "-q",
        "--pbkdf-force-iterations=1000",
        "--key-file=/proc/version",
        "@",
    ];
    const LUKS2: &[&str] = &[
        "cryptsetup",
        "luksFormat",
        "--type=luks2",
        "-q",
        "--pbkdf=pbkdf2",
        "--pbkdf-force-iterations=1000",
        "--key-file=/proc/version",
        "@",
    ];
    // The second header is at 4 MiB.
    const FAR: &[&str] = &[
        "cryptsetup",
        "luksFormat",
        "--type=luks2",
        "-q",
        "--luks2-metadata-size=4m",
        "--luks2-keyslots-size=16m",
        "--pbkdf=pbkdf2",
        "--pbkdf-force-iterations=1000",
        "--key-file=/proc/version",
        "@",
    ];
    const REPAIR: &[&str] = &["cryptsetup", "repair", "-q", "@"];
    check_all(&[
        made(LUKS1, &["cryptsetup", "luksDump", "@"]),
        made(LUKS2, &["cryptsetup", "luksDump", "@"]),
        copied(FAR, REPAIR, &[]),
        made(&["make-bcache", "-B", "@"], &["bcache-super-show", "@"]),
        made(&["make-bcache", "-C", "@"], &["bcache-super-show", "@"]),
    ]);
}

/// A volume group with two metadata areas: the second alone brings it back. The tools want a block device.
#[test]
fn volume_groups_do_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let known = || ask(&["pvck", "--dump", "metadata_search", "@"], &disk).1.contains("seqno");
    for damaged in [false, true] {
        sparse(&disk, 64 * MIB);
        let Some(device) = LoopDevice::attach(&disk) else { return };
        let node = device.0.to_str().unwrap();
        let config = format!(
            "devices {{ use_devicesfile=0 filter=[\"a|^{node}$|\", \"r|.*|\"] }} activation {{ udev_sync=0 }}"
        );
        for command in [
            vec!["pvcreate", "--config", &config, "-q", "-y", "--pvmetadatacopies", "2", node],
            vec!["vgcreate", "--config", &config, "-q", "-y", "tacit-test", node],
        ] {
            let (status, said) = ask(&command, &disk);
            assert_eq!(status, 0, "{command:?}: {said}");
        }
        let listed = || ask(&["pvs", "--config", &config, "--noheadings", "-o", "name"], &disk).1;
        assert!(listed().contains(node), "{}", listed());
        if damaged {
            put(&disk, 0, &vec![0; usize::try_from(MIB).unwrap()]);
        } else {
            assert!(known());
        }
        drop(device);
        wipe(&disk);
        assert_unrecognised(&disk, &[]);
        assert!(!known(), "damaged {damaged}");
        let left = fs::read(&disk).unwrap();
        assert!(!left.windows(10).any(|text| text == b"tacit-test"), "its metadata is still there");
        fs::remove_file(&disk).unwrap();
    }
}

/// A loop device for tools that take no files; detached when it is dropped.
struct LoopDevice(PathBuf);

impl LoopDevice {
    fn attach(file: &Path) -> Option<Self> {
        let (status, said) = ask(&["losetup", "--find", "--show", "@"], file);
        if status != 0 {
            eprintln!("passed over: {said}");
            return None;
        }
        Some(Self(PathBuf::from(said.trim())))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        ask(&["losetup", "--detach", "@"], &self.0);
    }
}

#[test]
fn read_only_formats_do_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let content = folder.path().join("content");
    fs::create_dir(&content).unwrap();
    fs::write(content.join("file"), "content").unwrap();
    let content = content.to_str().unwrap();
    let disk = folder.path().join("disk");
    for (make, accepts) in [
        (
            vec!["mksquashfs", content, "@", "-noappend", "-quiet", "-no-progress"],
            vec!["unsquashfs", "-s", "@"],
        ),
        (vec!["mkfs.cramfs", content, "@"], vec!["fsck.cramfs", "@"]),
        (vec!["mkfs.erofs", "@", content], vec!["fsck.erofs", "@"]),
        (vec!["xorrisofs", "-quiet", "-o", "@", content], vec!["xorriso", "-indev", "@", "-toc"]),
    ] {
        fs::remove_file(&disk).ok();
        let (status, said) = ask(&make, &disk);
        assert_eq!(status, 0, "{make:?}: {said}");
        fs::OpenOptions::new().write(true).open(&disk).unwrap().set_len(16 * MIB).unwrap();
        assert!(!seen_by_wipefs(&disk).is_empty(), "{make:?} left nothing to find");
        wipe(&disk);
        assert_unrecognised(&disk, &[]);
        // xorriso takes an empty medium for what it is.
        let (status, said) = ask(&accepts, &disk);
        assert!(status != 0 || said.contains("Media status : is blank"), "{accepts:?}: {said}");
    }
}

#[test]
fn swap_of_every_page_size_does_not_come_back() {
    for size in ["4096", "8192", "16384", "32768", "65536"] {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        sparse(&disk, 16 * MIB);
        let (status, said) = ask(&["mkswap", "-q", "-p", size, "@"], &disk);
        assert_eq!(status, 0, "{said}");
        assert!(!seen_by_wipefs(&disk).is_empty());
        wipe(&disk);
        assert_unrecognised(&disk, &[]);
    }
}

/// What recovers partition tables finds neither table nor file system, even by looking at every cylinder.
#[test]
fn partitions_are_not_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let sectors = 200 * MIB / 512;
    let log = folder.path().join("testdisk.log");
    let search = || {
        fs::remove_file(&log).ok();
        ask(&["testdisk", "/log", "/cmd", "@", "analyze,search,list"], &disk);
        String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned()
    };
    let table = || ask(&["sgdisk", "--print", "@"], &disk).1;
    for damaged in [false, true] {
        fs::remove_file(&disk).ok();
        sparse(&disk, 200 * MIB);
        gpt(&disk, sectors, &[(LINUX, GUID, 2048, sectors - 34)]);
        let (status, said) =
            ask(&["mke2fs", "-q", "-F", "-b", "1024", "-E", "offset=1048576", "@", "180m"], &disk);
        assert_eq!(status, 0, "{said}");
        if damaged {
            put(&disk, 0, &vec![0; 34 * 512]);
        }
        let said = search();
        assert!(said.contains("ext2 blocksize=1024"), "{said}");
        wipe(&disk);
        assert_unrecognised(&disk, &[(MIB, 199 * MIB)]);
        let said = search();
        assert!(!said.contains("filesys") && !said.contains("blocksize"), "damaged {damaged}: {said}");
        let said = table();
        assert!(said.contains("Creating new GPT entries"), "damaged {damaged}: {said}");
    }
}

/// Superblocks of software RAID as `mdadm` reads them; this kernel may have none to make them with.
#[test]
fn members_of_arrays_are_not_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let size = 64 * MIB;
    for (version, sector) in [("1.1", 0), ("1.2", 8), ("1.0", (size / 512 - 16) & !7)] {
        sparse(&disk, size);
        put(&disk, sector * 512, &superblock(sector));
        let examined = || ask(&["mdadm", "--examine", "@"], &disk);
        let (status, said) = examined();
        assert!(status == 0 && said.contains("tacit-test"), "{version}: {said}");
        wipe(&disk);
        assert_unrecognised(&disk, &[]);
        let (status, said) = examined();
        assert!(status != 0 && !said.contains("tacit-test"), "{version}: {said}");
        fs::remove_file(&disk).unwrap();
    }
}

/// Version 1 of a mirror of two (`linux/raid/md_p.h`).
fn superblock(sector: u64) -> Vec<u8> {
    let mut block = vec![0_u8; 512];
    let mut word = |at: usize, value: u32| block[at..at + 4].copy_from_slice(&value.to_le_bytes());
    for (at, value) in [(0, 0xa92b_4efc), (4, 1), (72, 1), (92, 2), (128, 2048), (136, 65536), (80, 65536)] {
        word(at, value);
    }
    word(220, 2);
    word(144, u32::try_from(sector).unwrap());
    block[16..32].fill(7);
    block[32..47].copy_from_slice(b"host:tacit-test");
    block[256..260].copy_from_slice(&[0, 0, 1, 0]);
    let sum: u64 = block[..260]
        .chunks_exact(4)
        .map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap())))
        .sum();
    let sum = u32::try_from((sum & 0xffff_ffff) + (sum >> 32)).unwrap();
    block[216..220].copy_from_slice(&sum.to_le_bytes());
    block
}
