//! Files that steps want from behind URLs: over lent connections, or dialled where the step says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::direct::{Server, ok};
use crate::support::{Lender, NODE, Served, TestAgent, finished, sha256};

/// A loop device with one partition of ext4 that has `/etc`.
struct Disk {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Disk {
    /// `None`, and a word about it, where there are no loop devices or no nodes for their partitions.
    fn new() -> Option<Self> {
        if let Err(error) = fs::File::options().write(true).open("/dev/loop-control") {
            eprintln!("NOT TESTED: this machine has no loop devices (/dev/loop-control: {error})");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk");
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let path: PathBuf = run("losetup", &["--find", "--show", text(&image)]).trim().into();
        let content = folder.path().join("content");
        fs::create_dir_all(content.join("etc")).unwrap();
        let disk = Self { path, _folder: folder };
        // Detaching does not take a partition away: whoever had the device before may have left one.
        Command::new("delpart").args([text(&disk.path), "1"]).output().unwrap();
        run("addpart", &[text(&disk.path), "1", "2048", "28672"]);
        if !disk.partition().exists() {
            eprintln!("NOT TESTED: nobody makes nodes for partitions here");
            return None;
        }
        run("mkfs.ext4", &["-q", "-F", "-d", text(&content), text(&disk.partition())]);
        Some(disk)
    }

    fn partition(&self) -> PathBuf {
        format!("{}p1", self.path.display()).into()
    }

    /// What debugfs, which mounts nothing, reads.
    fn file(&self, path: &str) -> String {
        run("debugfs", &["-R", &format!("cat {path}"), text(&self.partition())])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("delpart", &[text(&self.path), "1"]);
        run("losetup", &["--detach", text(&self.path)]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Starts a step that puts what is behind `url` into `/etc/motd`.
fn inject(agent: &TestAgent, disk: &Disk, url: &str, checksum: &str, more: Value) {
    let mut args = json!({"files": [{"path": "/etc/motd", "content": url, "checksum": checksum}]});
    for (key, value) in more.as_object().unwrap() {
        args[key] = value.clone();
    }
    let request = json!({
        "command": "deploy.execute_deploy_step",
        "params": {
            "step": {"step": "inject_files", "interface": "deploy", "args": args},
            "node": {"uuid": NODE, "properties": {"root_device": {"name": disk.path}}, "instance_info": {}},
            "ports": [],
        },
    });
    assert_eq!(agent.put("/v2/operations/inject", &request).status, 201);
}

fn with_disk() -> Option<(TestAgent, Disk)> {
    let disk = Disk::new()?;
    let mut agent = TestAgent::start();
    agent.add_disk_at(disk.path.clone());
    Some((agent, disk))
}

#[test]
fn a_file_comes_over_a_lent_connection() {
    let Some((agent, disk)) = with_disk() else { return };
    let content = b"welcome\n".to_vec();
    let checksum = format!("sha256:{}", sha256(&content));
    let url = "http://files.example/1be26c0b-03f2-4d2e-ae87-c02d7f33c123/motd";
    let lender = Lender::new(&agent.caller, [(url, Served::whole(content))]);
    let lent = lender.lend();
    inject(&agent, &disk, "http://files.example/{node[uuid]}/motd", &checksum, json!({}));
    let operation = finished(&agent, "inject");
    assert_eq!(operation["state"], "succeeded", "{operation}");
    assert_eq!(disk.file("/etc/motd"), "welcome\n");
    assert_eq!(lender.requests(), [format!("{url} -")]);
    drop(agent);
    lent.join().unwrap();
}

#[test]
fn the_node_dials_only_where_the_step_says_so() {
    let Some((agent, disk)) = with_disk() else { return };
    let server = Server::start(|_| ok(b"direct"));
    let url = format!("http://{}/motd", server.address);
    inject(&agent, &disk, &url, &sha256(b"direct"), json!({}));
    // It asks for a connection, and waits for it.
    let mut after = 0;
    loop {
        let page = agent.get(&format!("/v2/events?after={after}&wait=60")).json();
        if page["events"].as_array().unwrap().iter().any(|event| event["kind"] == "lend-wanted") {
            break;
        }
        after = page["last"].as_u64().unwrap();
    }
    assert_eq!(agent.caller.request("DELETE", "/v2/operations/inject", None).status / 100, 2);
    let operation = finished(&agent, "inject");
    assert_eq!(operation["state"], "cancelled", "{operation}");
    assert_eq!(operation["error"]["disk"], "untouched");
    assert!(server.heads().is_empty());

    let Some((agent, disk)) = with_disk() else { return };
    inject(&agent, &disk, &url, &sha256(b"direct"), json!({"transport": "direct"}));
    let operation = finished(&agent, "inject");
    assert_eq!(operation["state"], "succeeded", "{operation}");
    assert_eq!((disk.file("/etc/motd").as_str(), server.heads().len()), ("direct", 1));
}

#[test]
fn what_is_not_the_right_thing_changes_nothing() {
    let Some((agent, disk)) = with_disk() else { return };
    let before = fs::read(&disk.path).unwrap();
    let forged = Server::start(|_| ok(b"forged"));
    let url = format!("http://{}/motd", forged.address);
    inject(&agent, &disk, &url, &sha256(b"direct"), json!({"transport": "direct"}));
    let operation = finished(&agent, "inject");
    assert_eq!(operation["error"]["type"], "InvalidCommandParamsError", "{operation}");
    assert!(operation["error"]["details"].as_str().unwrap().contains("does not have the checksum"));
    assert_eq!(operation["error"]["disk"], "untouched");

    // More than any of it is to have; the server says so, and nobody waits for the rest.
    let Some((agent, other)) = with_disk() else { return };
    let endless = Server::start(|_| {
        [b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".as_slice(), &vec![7; 65 << 20]].concat()
    });
    let url = format!("http://{}/motd", endless.address);
    inject(&agent, &other, &url, &sha256(b"direct"), json!({"transport": "direct"}));
    let operation = finished(&agent, "inject");
    let details = operation["error"]["details"].as_str().unwrap();
    assert_eq!(operation["error"]["type"], "ImageDownloadError", "{operation}");
    assert!(details.contains("is larger than 67108864 bytes"), "{details}");
    assert!(fs::read(&disk.path).unwrap() == before, "something was written");
}
