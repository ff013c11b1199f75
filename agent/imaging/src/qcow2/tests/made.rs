//! Images as `qemu-img` makes them, compared with what it makes of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::super::fuzz::fuzz;
use super::support::{MIB, mixture, noise, restore, survey};

/// A folder and `qemu-img` in it; `None` where that is not installed.
pub(super) struct Qemu {
    folder: TempDir,
}

impl Qemu {
    pub(super) fn here() -> Option<Self> {
        let installed = Command::new("qemu-img").arg("--version").output().is_ok();
        installed.then(|| Self { folder: tempfile::tempdir().unwrap() })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn run(&self, program: &str, args: &[&str]) {
        let output = Command::new(program).current_dir(self.folder.path()).args(args).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn img(&self, args: &str) {
        self.run("qemu-img", &args.split(' ').collect::<Vec<_>>());
    }

    fn io(&self, file: &str, commands: &[String]) {
        let mut args = vec!["-f", "qcow2", "-t", "unsafe"];
        for command in commands {
            args.extend(["-c", command]);
        }
        args.push(file);
        self.run("qemu-io", &args);
    }

    /// What QEMU makes of an image, if it accepts it.
    pub(super) fn raw(&self, file: &Path) -> Option<Vec<u8>> {
        let raw = self.path("raw.back");
        let status = Command::new("qemu-img")
            .args(["convert", "-f", "qcow2", "-O", "raw"])
            .args([file, &raw])
            .output()
            .unwrap()
            .status;
        status.success().then(|| std::fs::read(raw).unwrap())
    }

    fn check(&self, name: &str) {
        let file = std::fs::read(self.path(name)).unwrap();
        let expected = self.raw(&self.path(name)).unwrap();
        let image = survey(&file).unwrap();
        for part in [MIB, 192 << 10] {
            let disk = restore(&image, &file, part).unwrap();
            assert_eq!(disk.len(), expected.len());
            assert!(disk == expected, "{name} in parts of {part} bytes is something else");
        }
        fuzz(&file);
    }
}

#[test]
fn converted_images_are_what_they_were() {
    let Some(qemu) = Qemu::here() else { return };
    // Small clusters take QEMU long.
    for (cluster, mib) in [("512", 1), ("4k", 3), ("64k", 9), ("1M", 9), ("2M", 9)] {
        std::fs::write(qemu.path("raw"), mixture(mib * MIB + 3 * 512, 1)).unwrap();
        for options in ["compat=0.10", "compat=1.1", "compression_type=zstd", "lazy_refcounts=on"] {
            for flags in ["", " -c", " -W", " -c -W"] {
                qemu.img(&format!(
                    "convert -f raw -O qcow2{flags} -o cluster_size={cluster},{options} raw image"
                ));
                qemu.check("image");
            }
        }
    }
}

#[test]
fn preallocated_and_empty_images_are_what_they_are() {
    let Some(qemu) = Qemu::here() else { return };
    for size in [512, 65536, 3 * MIB + 512] {
        for options in ["off", "metadata", "falloc", "full"] {
            for cluster in ["512", "64k", "2M"] {
                qemu.img(&format!(
                    "create -f qcow2 -o cluster_size={cluster},preallocation={options} image {size}"
                ));
                qemu.check("image");
            }
        }
    }
}

/// Commands of `qemu-io` that write here and there, over each other, and take back.
fn writes(size: usize, count: usize, seed: u64) -> Vec<String> {
    let random = noise(count * 8, seed);
    random
        .chunks(8)
        .map(|dice| {
            let number = |at: usize| usize::from(u16::from_le_bytes([dice[at], dice[at + 1]]));
            let at = number(0) * 512 * 7 % size / 512 * 512;
            let len = (1 + number(2) % 400) * 512;
            let len = len.min(size - at);
            match dice[4] % 8 {
                0 => format!("write -z {at} {len}"),
                1 => format!("write -z -u {at} {len}"),
                2 => format!("discard {at} {len}"),
                _ => format!("write -P {} {at} {len}", dice[5]),
            }
        })
        .collect()
}

#[test]
fn used_images_are_what_they_became() {
    let Some(qemu) = Qemu::here() else { return };
    let size = 3 * MIB + 512;
    for (seed, cluster) in (0..).zip(["512", "64k", "2M"]) {
        for options in ["compat=0.10", "lazy_refcounts=on"] {
            qemu.img(&format!("create -f qcow2 -o cluster_size={cluster},{options} image {size}"));
            qemu.io("image", &writes(size, 60, seed));
            qemu.check("image");
            qemu.img("snapshot -c before image");
            qemu.io("image", &writes(size, 30, seed + 100));
            qemu.check("image");
            if options == "compat=0.10" {
                // Version 2 cannot be resized with snapshots.
                qemu.img("snapshot -d before image");
                qemu.img(&format!("resize image {}", 6 * MIB));
                qemu.img("snapshot -c before image");
            } else {
                qemu.img(&format!("resize image {}", 6 * MIB));
            }
            qemu.io("image", &writes(6 * MIB, 30, seed + 200));
            qemu.img("snapshot -c then image");
            qemu.check("image");
            qemu.img("snapshot -a before image");
            qemu.check("image");
            qemu.img("snapshot -d before image");
            qemu.img("snapshot -d then image");
            qemu.img(&format!("resize --shrink image {}", MIB + 512));
            qemu.check("image");
        }
    }
}

#[test]
fn compressed_images_that_were_written_to_are_what_they_became() {
    let Some(qemu) = Qemu::here() else { return };
    let size = 3 * MIB + 1024;
    std::fs::write(qemu.path("raw"), mixture(size, 2)).unwrap();
    for (seed, cluster) in (0..).zip(["1k", "64k", "2M"]) {
        for kind in ["zlib", "zstd"] {
            qemu.img(&format!(
                "convert -f raw -O qcow2 -c -o cluster_size={cluster},compression_type={kind} raw image"
            ));
            qemu.io("image", &writes(size, 40, seed + 300));
            qemu.check("image");
        }
    }
}

#[test]
fn what_needs_more_than_the_file_is_refused() {
    use super::super::refusal::Refusal;
    let Some(qemu) = Qemu::here() else { return };
    let refusal = |name: &str| survey(&std::fs::read(qemu.path(name)).unwrap()).err().unwrap();
    qemu.img("create -f raw base 1M");
    qemu.img("create -f qcow2 -b base -F raw image");
    assert_eq!(refusal("image"), Refusal::BackingFile);
    qemu.img("create -f qcow2 -o data_file=data image 1M");
    assert_eq!(refusal("image"), Refusal::ExternalData);
    qemu.img("create -f qcow2 -o extended_l2=on image 1M");
    assert_eq!(refusal("image"), Refusal::ExtendedL2);
    let secret = "secret,id=s,data=12345678";
    let options = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";
    qemu.img(&format!("create -f qcow2 --object {secret} -o {options} image 1M"));
    assert_eq!(refusal("image"), Refusal::Encrypted(2));
}

/// The same where QEMU is not installed.
#[test]
fn kept_images_are_what_they_were() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/qcow2");
    let sums = std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        let file = std::fs::read(folder.join(name)).unwrap();
        let disk = restore(&survey(&file).unwrap(), &file, 3000).unwrap();
        let digest = ring::digest::digest(&ring::digest::SHA256, &disk);
        let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, sum, "{name}");
        fuzz(&file);
    }
    assert_eq!(sums.lines().count(), 5);
}
