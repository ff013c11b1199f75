//! The whole story on a virtual server: enrolled, inspected, cleaned, deployed through faults, undeployed, deployed again
//! with a config drive by OpenStack's own client; and from the first to the last packet the node started nothing.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tacit_tests::lab::{CommandLine, Lab, LabOptions};
use tacit_tests::stages::Stages;
use tacit_tests::workspace;

const NODE: &str = "node-1";
const MIB: u64 = 1 << 20;

#[test]
fn a_silent_machine_is_deployed() -> Result<()> {
    let mut stages = Stages::new("deploy");
    let mut lab = stages.run("lab up", || Lab::start(LabOptions::default()))?;
    let mut conductor = stages.run("conductor up", || lab.start_conductor())?;
    let cli = conductor.command_line();

    stages.run("enroll: tacit and baremetal", || enroll(&lab, &cli))?;
    stages.run("manage", || {
        cli.tacit(&["node", "manage", NODE, "--wait"])?;
        expect_state(&cli, "manageable")
    })?;
    stages.run("inspect", || {
        cli.tacit(&["node", "inspect", NODE, "--wait"])?;
        expect_state(&cli, "manageable")?;
        inventory_is_true(&lab, &cli)
    })?;
    // One boot of the ramdisk: what erasing would do, then the whole disk, then the certificate.
    stages.run("manual cleaning: erase_devices, planned and done", || erase(&lab, &cli))?;
    stages.run("provide: automated cleaning", || {
        cli.tacit(&["node", "provide", NODE, "--wait"])?;
        expect_state(&cli, "available")
    })?;

    // One write, broken twice: the conductor is killed, later the image server is gone for 20 s.
    let image = "tiny.raw";
    let sha512 = workspace::image_sha512(image)?;
    stages.run("deploy: first megabytes", || {
        let url = lab.images.slow_url(image);
        cli.tacit(&["node", "deploy", NODE, "--image", &url, "--checksum", &format!("sha512:{sha512}")])?;
        wait_until_written(&lab, &cli, 6 * MIB)
    })?;
    stages.run("kill -9 of the conductor, restart", || {
        conductor.kill9()?;
        ensure!(
            first_bytes(&lab, MIB)?.iter().all(|byte| *byte == 0),
            "the first MiB was written before verification"
        );
        lab.restart_conductor(&mut conductor)
    })?;
    stages.run("image server gone for 20 s", || {
        wait_until_written(&lab, &cli, 9 * MIB)?;
        lab.images.stop()?;
        std::thread::sleep(Duration::from_secs(20));
        lab.resume_images()
    })?;
    stages.run("deploy: to the end", || wait_for_state(&cli, "active", Duration::from_secs(300)))?;
    stages.run("first line of the deployed system", || {
        let line =
            lab.serial.wait_for_line("TACIT-DEPLOYED tiny verified-image-1", 0, Duration::from_secs(120))?;
        eprintln!("{}", line.text);
        Ok(())
    })?;
    stages.run("what was fetched", || {
        let fetched = lab.images.accesses(image)?;
        let gets: Vec<_> = fetched.iter().filter(|access| access.method == "GET").collect();
        eprintln!("{fetched:#?}");
        ensure!(
            gets.iter().filter(|access| access.first_byte == 0).count() <= 1,
            "fetched from zero more than once"
        );
        ensure!(
            gets.iter().any(|access| access.first_byte > 0 && access.status == 206),
            "nothing was resumed"
        );
        let size = std::fs::metadata(workspace::image(image)?)?.len();
        let sent: u64 = gets.iter().map(|access| access.bytes_sent).sum();
        ensure!(sent < size + size / 2, "{sent} bytes were sent for an image of {size}");
        Ok(())
    })?;
    stages.run("history", || {
        let history = cli.tacit(&["node", "history", NODE])?;
        eprintln!("{history}");
        ensure!(
            !cli.baremetal(&["node", "history", "list", NODE])?.as_array().is_none_or(Vec::is_empty),
            "no history"
        );
        Ok(())
    })?;
    stages.run("silence", || silence(&lab))?;

    stages.run("undeploy", || {
        cli.tacit(&["node", "undeploy", NODE, "--wait"])?;
        expect_state(&cli, "available")?;
        ensure!(first_bytes(&lab, MIB)?.iter().all(|byte| *byte == 0), "the partition table is still there");
        Ok(())
    })?;
    stages.run("deploy again: baremetal, zstd, config drive", || deploy_with_config_drive(&lab, &cli))?;
    stages.run("silence again", || silence(&lab))?;
    if let Some(bytes) = conductor.rss_bytes() {
        eprintln!("conductor: {} KiB resident", bytes / 1024);
    }
    stages.run("tear down", || {
        drop(conductor);
        drop(lab);
        Ok(())
    })
}

fn enroll(lab: &Lab, cli: &CommandLine) -> Result<()> {
    let network_data = lab.write_json("network_data.json", &lab.server.network_data())?;
    let mut arguments =
        vec!["node".to_owned(), "create".into(), NODE.into(), "--driver".into(), "redfish".into()];
    for (key, value) in lab.bmc.driver_info() {
        arguments.extend(["--driver-info".to_owned(), format!("{key}={value}")]);
    }
    arguments.extend(["--network-data".to_owned(), network_data]);
    cli.tacit(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;

    let node = show(cli)?;
    ensure!(node["provision_state"] == "enroll", "a new node is enrolled: {}", node["provision_state"]);
    ensure!(!node.to_string().contains("redfish-lab"), "the BMC's password is shown");
    let uuid = node["uuid"].as_str().context("the node shows no uuid")?;
    cli.baremetal(&["port", "create", lab.server.mac, "--node", uuid])?;
    let ports = cli.baremetal(&["port", "list", "--node", NODE])?;
    ensure!(ports[0]["address"] == lab.server.mac, "the port is not listed: {ports}");
    let listed = cli.baremetal(&["node", "list"])?;
    ensure!(listed[0]["name"] == NODE, "the node is not listed: {listed}");
    Ok(())
}

fn inventory_is_true(lab: &Lab, cli: &CommandLine) -> Result<()> {
    let inventory = cli.tacit_json(&["node", "inventory", NODE])?;
    let text = inventory.to_string();
    for fact in [lab.server.mac, "TACITDISK0", "TACITLAB0001"] {
        ensure!(text.contains(fact), "the inventory does not say {fact}: {text}");
    }
    Ok(())
}

/// What the demo does with files, OpenStack's client does with a directory: the guest prints the name from it.
fn erase(lab: &Lab, cli: &CommandLine) -> Result<()> {
    let steps = r#"[{"interface": "deploy", "step": "erase_devices", "args": {"dry_run": true}},
                    {"interface": "deploy", "step": "erase_devices"}]"#;
    cli.baremetal_text(&["node", "clean", NODE, "--clean-steps", steps])?;
    wait_for_state(cli, "manageable", Duration::from_secs(900))?;
    let history = cli.tacit(&["node", "history", NODE])?;
    ensure!(history.contains("nothing was touched"), "no plan in the history:\n{history}");
    let erasures = cli.tacit(&["node", "erasure", NODE])?;
    eprintln!("{erasures}");
    ensure!(erasures.contains("overwrite") && erasures.contains("proven"), "no certificate: {erasures}");
    ensure!(first_bytes(lab, 64 * MIB)?.iter().all(|byte| *byte == 0), "the disk is not erased");
    // What is written later is seen by the room that it takes.
    let status = Command::new("fallocate").arg("--dig-holes").arg(&lab.server.disk).status()?;
    ensure!(status.success(), "fallocate: {status}");
    Ok(())
}

fn deploy_with_config_drive(lab: &Lab, cli: &CommandLine) -> Result<()> {
    let image = "tiny.raw.zst";
    let drive = lab.files().join("config-drive");
    std::fs::create_dir_all(drive.join("openstack/latest"))?;
    std::fs::write(
        drive.join("openstack/latest/meta_data.json"),
        r#"{"hostname": "given-by-config-drive"}"#,
    )?;
    let source = format!("image_source={}", lab.images.url(image));
    let digest = format!("image_os_hash_value={}", workspace::image_sha512(image)?);
    cli.baremetal_text(&[
        "node",
        "set",
        NODE,
        "--instance-info",
        &source,
        "--instance-info",
        &digest,
        "--instance-info",
        "image_os_hash_algo=sha512",
        "--instance-info",
        "image_disk_format=raw",
    ])?;
    let mark = lab.serial.mark();
    let drive = drive.to_str().context("the directory is not text")?;
    cli.baremetal_text(&["node", "deploy", NODE, "--config-drive", drive, "--wait", "300"])?;
    expect_state(cli, "active")?;
    lab.serial.wait_for_line("hostname=given-by-config-drive", mark, Duration::from_secs(120))?;
    lab.serial.wait_for_line("TACIT-DEPLOYED given-by-config-drive", mark, Duration::from_secs(10))?;
    Ok(())
}

fn silence(lab: &Lab) -> Result<()> {
    let summary = lab.silence()?;
    eprintln!("{summary}");
    ensure!(summary.frames > 300, "the capture saw next to nothing");
    ensure!(summary.started.is_empty(), "the node started conversations");
    let dropped = lab.link.dropped_starts()?;
    ensure!(dropped == 0, "the kernel dropped {dropped} packets that the node started");
    Ok(())
}

fn show(cli: &CommandLine) -> Result<Value> {
    cli.baremetal(&["node", "show", NODE])
}

fn expect_state(cli: &CommandLine, wanted: &str) -> Result<()> {
    let node = show(cli)?;
    ensure!(
        node["provision_state"] == wanted,
        "{} instead of {wanted}: {}",
        node["provision_state"],
        node["last_error"]
    );
    Ok(())
}

fn wait_for_state(cli: &CommandLine, wanted: &str, timeout: Duration) -> Result<()> {
    let deadline = Instant::now() + timeout;
    loop {
        let node = show(cli)?;
        let state = node["provision_state"].as_str().unwrap_or_default();
        if state == wanted {
            return Ok(());
        }
        ensure!(!state.ends_with("failed") && state != "error", "{state}: {}", node["last_error"]);
        ensure!(Instant::now() < deadline, "still {state} after {timeout:?}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Waits until so much of the disk's file is in use: the write is under way, whoever reports it or not.
fn wait_until_written(lab: &Lab, cli: &CommandLine, bytes: u64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(180);
    while std::fs::metadata(&lab.server.disk)?.blocks() * 512 < bytes {
        let node = show(cli)?;
        let state = node["provision_state"].as_str().unwrap_or_default();
        ensure!(!state.ends_with("failed"), "{state}: {}", node["last_error"]);
        ensure!(Instant::now() < deadline, "{bytes} bytes of the disk were not written in time");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn first_bytes(lab: &Lab, count: u64) -> Result<Vec<u8>> {
    let mut disk = File::open(&lab.server.disk)?;
    disk.seek(SeekFrom::Start(0))?;
    let mut bytes = vec![0; usize::try_from(count)?];
    disk.read_exact(&mut bytes)?;
    Ok(bytes)
}
