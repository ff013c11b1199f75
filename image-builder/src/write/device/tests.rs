use std::os::unix::fs::symlink;

use super::*;

/// A disk of two partitions as sysfs has it, numbered like `/dev/null`, which is no disk but has a number.
fn machine(root: &Path) -> PathBuf {
    let disk = root.join("sys/devices/sdx");
    for folder in ["device", "sdx1/holders", "sdx2/holders/dm-0", "sdx10", "holders"] {
        fs::create_dir_all(disk.join(folder)).unwrap();
    }
    fs::create_dir_all(root.join("sys/dev/block")).unwrap();
    symlink(&disk, root.join("sys/dev/block/8:0")).unwrap();
    for (file, content) in [
        ("device/model", "Fast Disk   \n"),
        ("device/serial", "S123\n"),
        ("sdx1/partition", "1\n"),
        ("sdx1/dev", "8:1\n"),
        ("sdx1/size", "2048\n"),
        ("sdx1/uevent", "DEVTYPE=partition\nPARTNAME=EFI\u{1b}[2J\n"),
        ("sdx2/partition", "2\n"),
        ("sdx2/dev", "8:2\n"),
        ("sdx2/size", "4096\n"),
        ("sdx10/partition", "10\n"),
        ("sdx10/dev", "8:10\n"),
    ] {
        fs::write(disk.join(file), content).unwrap();
    }
    disk
}

#[test]
fn disks_are_described_without_control_characters() {
    let root = tempfile::tempdir().unwrap();
    let disk = machine(root.path());
    let mut description = Description {
        path: "/dev/sdx".into(),
        size: 1 << 30,
        kind: "file",
        model: None,
        serial: None,
        partitions: Vec::new(),
    };
    description.read(&disk);
    assert_eq!(
        description.to_string(),
        "/dev/sdx: disk, 1.00 GiB, model Fast Disk, serial S123\n  sdx1: 1.00 MiB, EFI[2J\n  sdx2: 2.00 MiB\n  sdx10: 0 B"
    );
}

#[test]
fn mounts_and_holders_of_partitions_are_users() {
    let root = tempfile::tempdir().unwrap();
    let disk = machine(root.path());
    let proc = root.path().join("proc");
    fs::create_dir_all(proc.join("self")).unwrap();
    fs::write(
        proc.join("self/mountinfo"),
        "36 35 8:1 / /boot/efi rw - vfat /dev/sdx1 rw\n37 35 8:17 / /other rw - ext4 /dev/sdy1 rw\n",
    )
    .unwrap();
    let sys = root.path().join("sys");
    let kernel = Kernel { sys: &sys, proc: &proc };
    assert_eq!(users_of(8 << 8, kernel), ["sdx1 is mounted at /boot/efi", "sdx2 is a part of dm-0"]);
    fs::write(proc.join("self/mountinfo"), "").unwrap();
    fs::remove_dir(disk.join("sdx2/holders/dm-0")).unwrap();
    assert!(users_of(8 << 8, kernel).is_empty());
}

#[test]
fn files_behind_loop_devices_are_in_use() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("disk.img");
    fs::write(&file, "x").unwrap();
    let sys = root.path().join("sys");
    fs::create_dir_all(sys.join("block/loop7/loop")).unwrap();
    let kernel = Kernel { sys: &sys, proc: root.path() };
    assert!(open(&file, kernel).is_ok());
    let backing = file.canonicalize().unwrap();
    fs::write(sys.join("block/loop7/loop/backing_file"), format!("{}\n", backing.display())).unwrap();
    let error = open(&file, kernel).unwrap_err();
    assert!(error.to_string().ends_with("is in use: it is the file behind loop7"), "{error}");
}
