use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::process::{Child, ChildStderr, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::disk::{Loop, MIB, Mount, agent, call, disk, text};

#[test]
fn a_dry_run_shows_the_plan_and_touches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), "disk", 4 * MIB);
    let before = fs::read(&disk).unwrap();
    let modified = fs::metadata(&disk).unwrap().modified().unwrap();
    let output = call(&["erase", "--dry-run", disk.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.contains("will be erased") && shown.contains("by overwrite (clear)"), "{shown}");
    assert!(fs::read(&disk).unwrap() == before);
    assert_eq!(fs::metadata(&disk).unwrap().modified().unwrap(), modified);
}

#[test]
fn without_consent_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), "disk", 2 * MIB);
    let before = fs::read(&disk).unwrap();
    let output = call(&["erase", disk.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("--yes"));
    assert!(fs::read(&disk).unwrap() == before);
}

#[test]
fn on_a_terminal_only_the_whole_word_is_consent() {
    let script = Command::new("script").arg("--version").output();
    assert!(script.is_ok(), "no script(1) (package bsdutils) to give the program a terminal");
    let folder = tempfile::tempdir().unwrap();
    for (answer, code) in [("y\n", 3), ("yes\n", 0)] {
        let disk = disk(folder.path(), "disk", 2 * MIB);
        let command = format!("{} erase {}", env!("CARGO_BIN_EXE_tacit-agent"), disk.display());
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let mut seen = Vec::new();
        let mut byte = [0];
        while !text(&seen).contains("Type yes") && output.read(&mut byte).unwrap() == 1 {
            seen.push(byte[0]);
        }
        input.write_all(answer.as_bytes()).unwrap();
        output.read_to_end(&mut seen).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{}", String::from_utf8_lossy(&seen));
        let erased = fs::read(&disk).unwrap().iter().all(|byte| *byte == 0);
        assert_eq!(erased, code == 0);
    }
}

#[test]
fn proofs_are_shown_and_the_content_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (disk(folder.path(), "a", 3 * MIB), disk(folder.path(), "b", 5 * MIB));
    let names = [first.to_str().unwrap(), second.to_str().unwrap()];
    let output = call(&["erase", "--yes", "--json", "--verify", "full", names[0], names[1]]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (number, path) in [&first, &second].into_iter().enumerate() {
        assert_eq!(document["plan"][number]["verdict"], "erase");
        let proof = &document["proofs"][number];
        assert_eq!((&proof["result"], &proof["standard"]), (&"proven".into(), &"clear".into()));
        assert_eq!(proof["device"], path.to_str().unwrap());
        assert!(fs::read(path).unwrap().iter().all(|byte| *byte == 0));
    }
}

#[test]
fn loop_devices_of_either_sector_size_are_erased() {
    let folder = tempfile::tempdir().unwrap();
    for sector in ["512", "4096"] {
        let backing = disk(folder.path(), sector, 8 * MIB);
        let Some(device) = Loop::new(&backing, &["--sector-size", sector]) else { return };
        let output = call(&["erase", "--yes", "--passes", "0", device.name()]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let shown = text(&output.stdout);
        assert!(shown.contains("erased by overwrite (clear), proven"), "{shown}");
        assert!(fs::read(&backing).unwrap().iter().all(|byte| *byte == 0), "{sector}");
    }
}

#[test]
fn metadata_alone_is_wiped_when_that_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), "disk", 8 * MIB);
    let path = disk.to_str().unwrap();
    let before = fs::read(&disk).unwrap();
    let output = call(&["erase", "--method", "metadata", "--dry-run", path]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(fs::read(&disk).unwrap() == before);
    let output = call(&["erase", "--method", "metadata", "--yes", path]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("no standard"));
    let after = fs::read(&disk).unwrap();
    assert!(
        after[..MIB].iter().all(|byte| *byte == 0) && after[4 * MIB..5 * MIB] == before[4 * MIB..5 * MIB]
    );
}

#[test]
fn mounted_devices_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let backing = folder.path().join("disk");
    fs::File::create(&backing).unwrap().set_len(16 << 20).unwrap();
    let made = Command::new("mkfs.ext4").arg("-q").arg(&backing).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfs.ext4 (package e2fsprogs)");
    let Some(device) = Loop::new(&backing, &[]) else { return };
    let at = folder.path().join("mnt");
    fs::create_dir(&at).unwrap();
    let mount = Mount::new(&device.0, &at);
    fs::write(at.join("kept"), "data").unwrap();
    for method in ["auto", "metadata"] {
        let output = call(&["erase", "--yes", "--method", method, device.name()]);
        assert_eq!(output.status.code(), Some(3), "{method}: {}", text(&output.stdout));
        assert!(text(&output.stdout).contains("is mounted at"), "{method}: {}", text(&output.stdout));
    }
    assert_eq!(fs::read_to_string(at.join("kept")).unwrap(), "data");
    drop(mount);
    let output = call(&["erase", "--yes", device.name()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn read_only_devices_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let backing = disk(folder.path(), "disk", 2 * MIB);
    let Some(device) = Loop::new(&backing, &["--read-only"]) else { return };
    let output = call(&["erase", "--yes", device.name()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stdout).contains("read-only"), "{}", text(&output.stdout));
}

/// An erasure that is in the midst of its disk.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    _folder: tempfile::TempDir,
}

impl Running {
    /// With SIGHUP as env(1) is told by `option`.
    fn new(option: &str, passes: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        fs::File::create(&disk).unwrap().set_len(256 << 20).unwrap();
        let mut child = Command::new("env")
            .args([option, env!("CARGO_BIN_EXE_tacit-agent"), "erase", "--yes", "--passes", passes])
            .arg(&disk)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("overwrite")), "it ended before it was stopped");
        Self { child, lines, _folder: folder }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Exit code and standard output.
    fn end(mut self) -> (Option<i32>, String) {
        let rest: Vec<String> = self.lines.map(Result::unwrap).collect();
        let mut shown = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
        (self.child.wait().unwrap().code(), format!("{shown}\n{}", rest.join("\n")))
    }
}

#[test]
fn a_stop_is_clean_and_says_what_state_the_disk_is_in() {
    for signals in [[Signal::SIGINT].as_slice(), &[Signal::SIGHUP, Signal::SIGHUP]] {
        let running = Running::new("--default-signal=HUP", "100");
        signals.iter().for_each(|signal| running.signal(*signal));
        let (code, shown) = running.end();
        assert_eq!(code, Some(4), "{signals:?}: {shown}");
        assert!(shown.contains("STOPPED") && shown.contains("partly overwritten"), "{shown}");
    }
}

#[test]
fn who_ignores_that_a_terminal_hangs_up_is_not_stopped_by_it() {
    let running = Running::new("--ignore-signal=HUP", "2");
    running.signal(Signal::SIGHUP);
    let (code, shown) = running.end();
    assert_eq!(code, Some(0), "{shown}");
}

#[test]
fn that_nobody_reads_is_no_reason_to_die() {
    let folder = tempfile::tempdir().unwrap();
    for more in ["--json", "--verify=sample"] {
        let disk = disk(folder.path(), "disk", 4 * MIB);
        let mut child = agent()
            .args(["erase", "--yes", more, disk.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(0), "{more}");
        assert!(fs::read(&disk).unwrap().iter().all(|byte| *byte == 0), "{more}");
    }
    // ^C ends the reader as well: the state of the disk is lost, but not the stop.
    let Running { mut child, lines, _folder } = Running::new("--default-signal=HUP", "100");
    drop((lines, child.stdout.take()));
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4));
}

#[test]
fn proofs_that_cannot_be_written_are_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [["--yes", "--json"], ["--yes", "--verify=sample"], ["--dry-run", "--json"]] {
        let disk = disk(folder.path(), "disk", 2 * MIB);
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = agent().arg("erase").args(arguments).arg(&disk).stdout(full).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.contains("cannot write to standard output: No space left on device"), "{told}");
        let erased = fs::read(&disk).unwrap().iter().all(|byte| *byte == 0);
        assert_eq!(erased, arguments[0] == "--yes", "{arguments:?}");
    }
}

#[test]
fn what_makes_no_sense_is_a_matter_of_usage() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), "disk", 2 * MIB);
    let path = disk.to_str().unwrap();
    let before = fs::read(&disk).unwrap();
    for arguments in [
        vec!["erase"],
        vec!["erase", "--method", "shred", path],
        vec!["erase", "--require", "destroy", path],
        vec!["erase", "--psid", "nothing", path],
        vec!["erase", "--yes", "/dev/no-such-disk"],
        vec!["erase", "--yes", "--passes", "0", "--no-zeros", path],
    ] {
        let output = call(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(!output.stderr.is_empty());
    }
    for arguments in [
        vec!["erase", "--yes", "--require", "purge", path],
        vec!["erase", "--yes", "--method", "nvme-format-crypto", path],
        vec!["erase", "--yes", "/dev/null"],
    ] {
        let output = call(&arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {}", text(&output.stderr));
    }
    assert!(fs::read(&disk).unwrap() == before);
    assert!(text(&call(&["erase", "--help"]).stdout).contains("Exit codes"));
}
