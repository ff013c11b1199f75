//! `tacit-image write` as its callers meet it.
#![cfg(feature = "disks")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::AtomicU64;
use std::thread;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tacit_imaging::{BmapOptions, make_bmap};
use tempfile::TempDir;

const MIB: usize = 1 << 20;
const DISK: usize = 24 * MIB;

struct Site {
    folder: TempDir,
    image: Vec<u8>,
}

impl Site {
    /// An image of which the second third is zeros, and a disk full of something else.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut image: Vec<u8> = (0..(9 * MIB / 4) as u32)
            .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        image[3 * MIB..6 * MIB].fill(0);
        // An MBR with one partition behind the first MiB, marked for BIOS to start from.
        image[440..512].fill(0);
        image[446] = 0x80;
        image[450] = 0x83;
        image[454..458].copy_from_slice(&2048u32.to_le_bytes());
        image[458..462].copy_from_slice(&16_384u32.to_le_bytes());
        image[510..512].copy_from_slice(&[0x55, 0xaa]);
        let file = fs::File::create(folder.path().join("image")).unwrap();
        file.write_all_at(&image[..3 * MIB], 0).unwrap();
        file.write_all_at(&image[6 * MIB..], 6 * MIB as u64).unwrap();
        fs::write(folder.path().join("disk"), vec![0xee; DISK]).unwrap();
        Self { folder, image }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn disk(&self) -> Vec<u8> {
        fs::read(self.path("disk")).unwrap()
    }

    fn digest(&self) -> String {
        digest(&self.image)
    }

    /// Writes `image` onto the disk.
    fn write(&self, image: impl AsRef<Path>, options: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tacit-image"));
        command.arg("write").args(options).arg(image.as_ref()).arg(self.path("disk"));
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn assert_untouched(&self) {
        assert!(self.disk().iter().all(|&byte| byte == 0xee));
    }

    fn assert_not_bootable(&self) {
        let disk = self.disk();
        assert!(disk[..MIB].iter().all(|&byte| byte == 0), "the first MiB");
        assert!(disk[DISK - MIB..].iter().all(|&byte| byte == 0), "the last MiB");
    }

    fn assert_written(&self) {
        assert!(self.disk()[..self.image.len()] == self.image);
    }
}

fn digest(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Serves `bytes` by ranges; behind `stall` of the first whole answer it falls silent.
fn serve(bytes: Vec<u8>, stall: Option<usize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut reader, bytes) = (BufReader::new(stream.unwrap()), bytes.clone());
            thread::spawn(move || {
                loop {
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if reader.read_line(&mut head).unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let range = head.lines().find_map(|line| line.strip_prefix("Range: bytes="));
                    let (first, last) = range.map_or((0, bytes.len() - 1), |range| {
                        let (first, last) = range.split_once('-').unwrap();
                        let last = last.parse().unwrap_or(usize::MAX);
                        (first.parse().unwrap(), last.min(bytes.len() - 1))
                    });
                    let (part, total) = (&bytes[first..=last], bytes.len());
                    let status = match range {
                        Some(_) => {
                            format!("206 Partial Content\r\nContent-Range: bytes {first}-{last}/{total}")
                        }
                        None => "200 OK".to_owned(),
                    };
                    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", part.len());
                    let sent = stall.unwrap_or(usize::MAX).min(part.len());
                    let stream = reader.get_mut();
                    if stream
                        .write_all(head.as_bytes())
                        .and_then(|()| stream.write_all(&part[..sent]))
                        .is_err()
                    {
                        return;
                    }
                    if sent < part.len() {
                        // Held open until the client goes.
                        let mut byte = [0];
                        if stream.read(&mut byte).unwrap_or(0) == 0 {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_file_onto_a_file() {
    let site = Site::new();
    let output = site.write(site.path("image"), &["--yes", "--full-verify", "--verify", &site.digest()]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    site.assert_written();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("image of 9.00 MiB written and verified in "), "{told}");
    assert_eq!(stderr(&output), "");
}

#[test]
fn json_lines_from_a_server_and_nothing_to_do_the_second_time() {
    let site = Site::new();
    let url = format!("http://{}/image", serve(site.image.clone(), None));
    let map = make_bmap(&site.path("image"), BmapOptions::default(), &AtomicU64::new(0), &|| false).unwrap();
    let map = map.to_string();
    fs::write(site.path("image.bmap"), &map).unwrap();
    let map_path = site.path("image.bmap");
    let options = [
        "--yes",
        "--json",
        "--changed",
        "--bmap",
        map_path.to_str().unwrap(),
        "--bmap-digest",
        &digest(map.as_bytes()),
    ];
    for unchanged in [false, true] {
        let output = site.write(&url, &options);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        site.assert_written();
        let lines: Vec<Value> =
            stderr(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (outcome, progress) = lines.split_last().unwrap();
        assert_eq!(outcome["result"], "written");
        assert_eq!(outcome["unchanged"], unchanged, "{outcome}");
        assert_eq!(outcome["target_bytes"], site.image.len());
        assert!(outcome["seconds"].as_f64().unwrap() > 0.0);
        assert!(outcome["source_bytes"].as_u64().unwrap() < site.image.len() as u64, "{outcome}");
        assert!(
            progress.iter().all(|line| line["stage"].is_string() && line["retries"] == 0),
            "{progress:?}"
        );
    }
}

#[test]
fn another_image_leaves_nothing_to_boot() {
    let site = Site::new();
    let output = site.write(site.path("image"), &["--yes", "--verify", &digest(b"another")]);
    assert_eq!(code(&output), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("the disk is not bootable"), "{}", stderr(&output));
    site.assert_not_bootable();
}

#[test]
fn all_that_was_asked_for_must_match() {
    let site = Site::new();
    let (right, wrong) = (site.digest(), digest(b"another"));
    let output = site.write(site.path("image"), &["--yes", "--verify", &right, "--verify", &wrong]);
    assert_eq!(code(&output), Some(1), "{}", stderr(&output));
    site.assert_not_bootable();
}

#[test]
fn nothing_is_written_on_a_guess() {
    let site = Site::new();
    let (image, digest) = (site.path("image"), site.digest());
    let usage: [&[&str]; 5] = [
        &["--yes"],
        &["--yes", "--verify", "sha256:abc"],
        &["--yes", "--verify", "md5:d41d8cd98f00b204e9800998ecf8427e"],
        &["--yes", "--bmap", "map"],
        &["--yes", "--verify", &digest, "--signature", "image.minisig"],
    ];
    for options in usage {
        let output = site.write(&image, options);
        assert_eq!(code(&output), Some(2), "{options:?}: {}", stderr(&output));
    }
    assert_eq!(code(&site.write("ftp://host/image", &["--yes", "--verify", &digest])), Some(2));
    site.assert_untouched();
}

#[test]
fn what_fails_before_the_first_write_leaves_the_disk_as_it_was() {
    let site = Site::new();
    let (image, digest) = (site.path("image"), site.digest());
    // Nobody can be asked.
    let output = site.write(&image, &["--verify", &digest]);
    assert_eq!(code(&output), Some(3));
    assert!(stderr(&output).contains("say --yes"), "{}", stderr(&output));
    assert_eq!(code(&site.write(site.path("absent"), &["--yes", "--verify", &digest])), Some(3));
    let forged = ["--yes", "--bmap", image.to_str().unwrap(), "--bmap-digest", &self::digest(b"map")];
    let output = site.write(&image, &forged);
    assert_eq!(code(&output), Some(3), "{}", stderr(&output));
    let output = site.write(&image, &["--yes", "--json", "--config-drive", "/absent", "--verify", &digest]);
    assert_eq!(code(&output), Some(3));
    let outcome: Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!((&outcome["result"], &outcome["disk"]), (&"failed".into(), &"untouched".into()));
    // Larger than the disk.
    fs::write(site.path("large"), vec![1; DISK + MIB]).unwrap();
    assert_eq!(code(&site.write(site.path("large"), &["--yes", "--verify", &digest])), Some(3));
    site.assert_untouched();
}

#[test]
fn the_next_place_serves_when_the_first_is_gone() {
    let site = Site::new();
    let absent = site.path("absent");
    let image = site.path("image");
    let options = ["--yes", "--verify", &site.digest(), "--mirror", image.to_str().unwrap()];
    let output = site.write(absent, &options);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    site.assert_written();
}

#[test]
fn an_interrupt_stops_it_and_nothing_boots() {
    let site = Site::new();
    let url = format!("http://{}/image", serve(site.image.clone(), Some(5 * MIB)));
    let mut child = Command::new(env!("CARGO_BIN_EXE_tacit-image"))
        .args(["write", "--yes", "--json", "--verify", &site.digest(), &url])
        .arg(site.path("disk"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.by_ref().map(Result::unwrap).find(|line| line.contains(r#""stage":"write""#));
    assert!(line.is_some());
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let outcome: Value = serde_json::from_str(&lines.last().unwrap().unwrap()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{outcome}");
    assert_eq!(
        (&outcome["result"], &outcome["disk"]),
        (&"failed".into(), &"not-bootable".into()),
        "{outcome}"
    );
    site.assert_not_bootable();
}
