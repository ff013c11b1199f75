//! Files in real file systems on real partitions, where this process may make them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA384, digest};
use serde_json::{Value, json};
use tacit_model::ProgressUnit;

use super::mount::{Intent, Mounted};
use crate::machine::{Machine, Roots};
use crate::managers::{
    GenericHardwareManager, HardwareManager as _, RemoteFile, Route, StepContext, StepError, StepFamily,
    StepObserver,
};

const MIB: u64 = 1 << 20;

/// A loop device with two partitions of ext4: the first, small one has `/loader`, the second `/etc`.
struct Disk {
    path: PathBuf,
    folder: tempfile::TempDir,
}

impl Disk {
    /// `None`, and a word about it, where there are no loop devices or no nodes for their partitions.
    fn new() -> Option<Self> {
        if let Err(error) = File::options().read(true).write(true).open("/dev/loop-control") {
            eprintln!("NOT TESTED: this machine has no loop devices (/dev/loop-control: {error})");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk");
        File::create(&image).unwrap().set_len(48 * MIB).unwrap();
        let made = run("losetup", &["--find", "--show", text(&image)]);
        let disk = Self { path: made.trim().into(), folder };
        for (number, from, length) in [("1", MIB, 8 * MIB), ("2", 16 * MIB, 24 * MIB)] {
            // Detaching does not take a partition away: whoever had the device before may have left one.
            Command::new("delpart").args([text(&disk.path), number]).output().unwrap();
            let sectors = [from, length].map(|bytes| (bytes / 512).to_string());
            run("addpart", &[text(&disk.path), number, &sectors[0], &sectors[1]]);
        }
        if !disk.partition(1).exists() {
            eprintln!("NOT TESTED: nobody makes nodes for partitions here");
            return None;
        }
        let content = disk.folder.path().join("content");
        fs::create_dir_all(content.join("loader")).unwrap();
        disk.format(1, &content);
        fs::remove_dir(content.join("loader")).unwrap();
        fs::create_dir_all(content.join("etc/init.d")).unwrap();
        fs::create_dir(content.join("usr")).unwrap();
        fs::write(content.join("etc/old"), "old").unwrap();
        fs::write(content.join("etc/kept"), "kept").unwrap();
        // To the tenant, its own root is where absolute links begin.
        std::os::unix::fs::symlink("/etc/init.d", content.join("etc/rc")).unwrap();
        std::os::unix::fs::symlink("../../../../usr", content.join("etc/up")).unwrap();
        disk.format(2, &content);
        Some(disk)
    }

    fn format(&self, number: u32, content: &Path) {
        run("mkfs.ext4", &["-q", "-F", "-d", text(content), text(&self.partition(number))]);
    }

    fn partition(&self, number: u32) -> PathBuf {
        format!("{}p{number}", self.path.display()).into()
    }

    /// What debugfs, which mounts nothing, says of a partition.
    fn ask(&self, number: u32, request: &str) -> String {
        run("debugfs", &["-R", request, text(&self.partition(number))])
    }

    fn machine(&self) -> Machine {
        Machine::new(Roots::default(), Some(vec![self.path.clone()]))
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    fn inject(&self, files: &Value, more: &Value, observer: &Observer) -> Result<Value, StepError> {
        let node = json!({"uuid": "abc", "properties": {"root_device": {"name": self.path}}});
        let mut args = more.as_object().unwrap().clone();
        args.insert("files".to_owned(), files.clone());
        let context = StepContext { node: &node, ports: &json!([]), args: &args, observer };
        GenericHardwareManager::new(self.machine()).run_step("inject_files", &context)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for number in ["1", "2"] {
            run("delpart", &[text(&self.path), number]);
        }
        run("losetup", &["--detach", text(&self.path)]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Serves one file, and notes what it was asked.
#[derive(Default)]
struct Observer {
    served: Vec<u8>,
    asked: Mutex<Vec<(String, usize, Route)>>,
    announced: Mutex<u32>,
    /// Nothing can be written down.
    no_journal: bool,
}

impl StepObserver for Observer {
    fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: ProgressUnit) {}

    fn cancelled(&self) -> bool {
        false
    }

    fn about_to_write(&self) -> Result<(), StepError> {
        *self.announced.lock().unwrap() += 1;
        if self.no_journal {
            let problem = "cannot be written".to_owned();
            return Err(StepError::InvalidParameter { parameter: "the journal".to_owned(), problem });
        }
        Ok(())
    }

    fn fetch(&self, wanted: &RemoteFile<'_>) -> Result<Vec<u8>, StepError> {
        let asked = (wanted.url.to_owned(), wanted.limit_bytes, wanted.route.clone());
        self.asked.lock().unwrap().push(asked);
        Ok(self.served.clone())
    }
}

fn base64(content: &str) -> String {
    STANDARD.encode(content)
}

fn sha384(content: &[u8]) -> String {
    let digest = digest(&SHA384, content);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn files_go_where_their_folders_are() {
    let Some(disk) = Disk::new() else { return };
    let files = json!([
        {"path": "/etc/motd", "content": base64("hello\n")},
        {"path": "/etc/old", "deleted": true},
        {"path": "/etc/new/deep/key", "content": base64("secret"), "mode": 0o600, "dirmode": 0o700,
         "owner": 12, "group": 34},
        {"path": "/etc/rc/script", "content": base64("inside")},
        {"path": "/etc/up/file", "content": base64("upward")},
        {"path": "/entry.conf", "content": base64("boot"), "partition": 1},
    ]);
    let observer = Observer::default();
    let result = disk.inject(&files, &json!({}), &observer).unwrap();
    assert_eq!(*observer.announced.lock().unwrap(), 1);
    let proofs = result["proofs"].as_array().unwrap();
    let devices: Vec<&str> = proofs.iter().map(|proof| proof["device"].as_str().unwrap()).collect();
    assert_eq!(devices, [disk.partition(1), disk.partition(2)].map(|path| path.display().to_string()));
    assert_eq!(proofs[1]["verification"].as_array().unwrap().len(), 5, "{result}");

    assert_eq!(disk.ask(1, "cat /entry.conf"), "boot");
    assert_eq!(disk.ask(2, "cat /etc/motd"), "hello\n");
    assert_eq!(disk.ask(2, "cat /etc/kept"), "kept");
    assert_eq!(disk.ask(2, "cat /etc/init.d/script"), "inside");
    assert_eq!(disk.ask(2, "cat /usr/file"), "upward");
    let listed = disk.ask(2, "ls -p /etc");
    assert!(!listed.contains("/old/") && !listed.contains("tacit"), "{listed}");
    // inode/mode/owner/group/name
    let key = disk.ask(2, "ls -p /etc/new/deep");
    assert!(key.contains("/100600/12/34/key/"), "{key}");
    let folder = disk.ask(2, "ls -p /etc/new");
    assert!(folder.contains("/040700/12/34/deep/"), "{folder}");
    // They are unmounted: nobody holds the disk.
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(text(&disk.path)), "{mounts}");
}

#[test]
fn what_is_behind_a_url_is_written_if_it_is_the_right_thing() {
    let Some(disk) = Disk::new() else { return };
    let observer = Observer { served: b"from afar".to_vec(), ..Observer::default() };
    let file = |checksum: &str| json!([{"path": "/etc/{motd}", "content": "http://h/{node[uuid]}?token=secret", "checksum": checksum}]);
    let before = disk.bytes();
    let error = disk.inject(&file(&sha384(b"another")), &json!({}), &observer).unwrap_err();
    let told = error.details();
    assert!(told.contains("http://h/abc does not have the checksum") && !told.contains("secret"), "{told}");
    assert!(!error.disk_touched());
    assert!(disk.bytes() == before, "something was written");

    let right = file(&format!("sha384:{}", sha384(b"from afar")));
    let plan = disk.inject(&right, &json!({"dry_run": true}), &observer).unwrap();
    let action = &plan["plan"][0]["files"][0]["action"];
    assert!(action.as_str().unwrap().starts_with("write what is at http://h/abc"), "{plan}");
    assert_eq!(observer.asked.lock().unwrap().len(), 1, "a plan fetches nothing");
    disk.inject(&right, &json!({"transport": "direct"}), &observer).unwrap();
    assert_eq!(disk.ask(2, "cat /etc/{motd}"), "from afar");
    let asked = observer.asked.lock().unwrap().clone();
    let url = "http://h/abc?token=secret".to_owned();
    assert_eq!(asked[0], (url.clone(), 64 << 20, Route::Lent));
    assert_eq!(asked[1], (url, 64 << 20, Route::Direct { authorities: None }));
}

#[test]
fn a_plan_writes_nothing_even_if_the_system_was_not_shut_down() {
    let Some(disk) = Disk::new() else { return };
    // What is on the disk while it is mounted has a journal to be replayed.
    let at = disk.folder.path().join("mounted");
    fs::create_dir(&at).unwrap();
    run("mount", &[text(&disk.partition(2)), text(&at)]);
    fs::write(at.join("etc/late"), "late").unwrap();
    run("sync", &["-f", text(&at)]);
    let unclean = fs::read(disk.partition(2)).unwrap();
    run("umount", &[text(&at)]);
    fs::write(disk.partition(2), &unclean).unwrap();
    let features = run("dumpe2fs", &["-h", text(&disk.partition(2))]);
    assert!(features.contains("needs_recovery"), "{features}");

    let before = disk.bytes();
    let files = json!([{"path": "/etc/motd", "content": base64("hello")}]);
    let observer = Observer::default();
    let plan = disk.inject(&files, &json!({"dry_run": true}), &observer).unwrap();
    assert_eq!(plan["plan"][0]["device"], text(&disk.partition(2)));
    assert_eq!(*observer.announced.lock().unwrap(), 0);
    assert!(disk.bytes() == before, "something was written");
    disk.inject(&files, &json!({}), &observer).unwrap();
    assert_eq!(disk.ask(2, "cat /etc/motd") + &disk.ask(2, "cat /etc/late"), "hellolate");
}

#[test]
fn a_full_file_system_keeps_what_it_had() {
    let Some(disk) = Disk::new() else { return };
    let content = STANDARD.encode(vec![7; 10 << 20]);
    let files = json!([
        {"path": "/loader/small", "content": base64("one")},
        {"path": "/loader/small", "content": content},
    ]);
    let error = disk.inject(&files, &json!({}), &Observer::default()).unwrap_err();
    assert!(error.details().contains("/loader/small: No space left"), "{error}");
    assert!(error.disk_touched());
    assert_eq!(disk.ask(1, "cat /loader/small"), "one");
    let listed = disk.ask(1, "ls -p /loader");
    assert!(!listed.contains("tacit"), "{listed}");
}

#[test]
fn a_superblock_does_not_decide_that_the_kernel_panics() {
    let Some(disk) = Disk::new() else { return };
    let partition = disk.partition(2);
    run("tune2fs", &["-e", "panic", text(&partition)]);
    for intent in [Intent::Read, Intent::Write] {
        let _mounted = Mounted::new(&partition, intent).unwrap();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let line = mounts.lines().find(|line| line.starts_with(text(&partition))).unwrap();
        assert!(line.contains("errors=remount-ro"), "{intent:?}: {line}");
        for option in ["nodev", "nosuid", "noexec"] {
            assert!(line.contains(option), "{intent:?}: {line}");
        }
    }
}

#[test]
fn nothing_is_written_that_cannot_be_written_down() {
    let Some(disk) = Disk::new() else { return };
    let before = disk.bytes();
    let files = json!([{"path": "/etc/motd", "content": base64("hello")}]);
    let observer = Observer { no_journal: true, ..Observer::default() };
    let error = disk.inject(&files, &json!({}), &observer).unwrap_err();
    assert!(error.details().contains("the journal"), "{error}");
    assert!(disk.bytes() == before, "something was written");
}

#[test]
fn places_that_are_not_there_are_named() {
    let Some(disk) = Disk::new() else { return };
    let before = disk.bytes();
    for (file, expected) in [
        (json!({"path": "/opt/x", "deleted": true}), "has a folder /opt"),
        (json!({"path": "/etc/x", "deleted": true, "partition": 3}), "has no partition 3"),
        (json!({"path": "/etc/x", "deleted": true, "partition": "/dev/null"}), "/dev/null is neither"),
        (json!({"path": "/etc/x", "deleted": true, "partition": disk.path}), "cannot mount"),
    ] {
        let good = json!({"path": "/etc/motd", "content": base64("hello"), "partition": 2});
        let error = disk.inject(&json!([good, file]), &json!({}), &Observer::default()).unwrap_err();
        assert!(error.details().contains(expected), "{expected}: {error}");
        if expected != "cannot mount" {
            assert!(!error.disk_touched() && disk.bytes() == before, "{expected}");
        }
    }
}

#[test]
fn the_priority_is_that_of_the_kernel_s_command_line() {
    let top = tempfile::tempdir().unwrap();
    let roots = Roots::below(top.path());
    fs::create_dir_all(&roots.proc).unwrap();
    let manager = GenericHardwareManager::new(Machine::new(roots.clone(), None));
    let priorities = |line: &str| {
        fs::write(roots.proc.join("cmdline"), line).unwrap();
        [StepFamily::Deploy, StepFamily::Service].map(|family| {
            let steps = manager.steps(family, &json!({}), &json!([]))?;
            Ok::<_, StepError>(steps.iter().find(|step| step.step == "inject_files").unwrap().priority)
        })
    };
    assert_eq!(priorities("quiet\n"), [Ok(0), Ok(0)]);
    assert_eq!(priorities("ipa-inject-files-priority=42\n"), [Ok(42), Ok(42)]);
    for wrong in ["100", "-1", "high"] {
        for answer in priorities(&format!("ipa-inject-files-priority={wrong}")) {
            assert!(answer.unwrap_err().details().contains("from 0 to 99"), "{wrong}");
        }
    }
    assert!(manager.steps(StepFamily::Clean, &json!({}), &json!([])).is_ok());
}
