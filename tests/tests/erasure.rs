//! Erasing through the conductor: planned without a touch, done, certified, and the certificate believed by nobody
//! once it was changed.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tacit_tests::desk::{LoopDisk, Site};
use tacit_tests::workspace;

const MIB: u64 = 1 << 20;
const DISK: u64 = 48 * MIB;

async fn clean(site: &Site, steps: Value) -> Result<()> {
    let body = json!({"target": "clean", "clean_steps": steps});
    site.conductor.send("PUT", "/v1/nodes/desk/states/provision", body).await?;
    site.settles_in("manageable").await?;
    Ok(())
}

/// `tacit node erasure desk` with more arguments: its success and all that it prints.
fn tacit(site: &Site, arguments: &[&str]) -> Result<(bool, String)> {
    let mut command = Command::new(workspace::tacit()?);
    command.args(["--url", &site.conductor.url(), "node", "erasure", "desk"]).args(arguments);
    let output = command.output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8(text)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_disk_has_a_certificate() -> Result<()> {
    let site = Site::start(DISK, &[]).await?;
    let result = certified(&site).await;
    if result.is_err() {
        eprintln!("{}", site.logs());
    }
    result
}

async fn certified(site: &Site) -> Result<()> {
    site.verb("manage").await?;
    site.settles_in("manageable").await?;
    let before = site.disk.read(0, DISK as usize)?;

    let step = |args: Value| json!([{"interface": "deploy", "step": "erase_devices", "args": args}]);
    clean(site, step(json!({"dry_run": true}))).await?;
    ensure!(site.disk.read(0, DISK as usize)? == before, "a dry run wrote to the disk");
    let history = site.history().await?.join("\n");
    ensure!(history.contains("nothing was touched"), "history does not show the plan:\n{history}");
    let erasures = site.conductor.get("/v1/nodes/desk/erasures").await?;
    ensure!(erasures == json!({"erasures": [], "not_erased": []}), "a plan has a certificate: {erasures}");

    clean(site, step(json!({}))).await?;
    for offset in (0..DISK).step_by(MIB as usize) {
        let bytes = site.disk.read(offset, MIB as usize)?;
        ensure!(bytes.iter().all(|byte| *byte == 0), "the MiB at {offset} is not erased");
    }
    let erasures = site.conductor.get("/v1/nodes/desk/erasures").await?;
    let certificate = &erasures["erasures"][0]["certificate"];
    for (key, value) in [("method", "overwrite"), ("standard", "clear"), ("result", "proven")] {
        ensure!(certificate[key] == value, "{key} is not {value}: {certificate:#}");
    }
    ensure!(certificate["node"]["name"] == "desk" && certificate["size"] == DISK, "{certificate:#}");
    ensure!(certificate["manager"].is_string(), "whose step it was is not told: {certificate:#}");
    ensure!(certificate["started"].as_str() <= certificate["finished"].as_str(), "{certificate:#}");
    ensure!(!certificate["verification"].as_array().context("no verification")?.is_empty());

    let authority = site.state_dir().join("pki/ca.crt");
    let authority = authority.to_str().context("a path of the test")?;
    let (good, text) = tacit(site, &["--authority", authority])?;
    ensure!(good && text.contains("overwrite") && text.contains("All signatures are good"), "{text}");
    let page = site.state_dir().join("erasure.html");
    let (good, text) = tacit(site, &["--html", page.to_str().context("a path of the test")?])?;
    ensure!(good, "{text}");
    let html = std::fs::read_to_string(&page)?;
    ensure!(html.contains("NIST SP 800-88r2: clear") && html.contains("desk"), "{html}");

    stranger_is_refused(site)?;
    // Certificates outlive their node.
    let uuid = site.node().await?["uuid"].as_str().context("no uuid")?.to_owned();
    site.conductor.send("DELETE", "/v1/nodes/desk", Value::Null).await?;
    let kept = site.conductor.get(&format!("/v1/nodes/{uuid}/erasures")).await?;
    ensure!(kept == erasures, "the certificates went with the node");
    Ok(())
}

/// One disk cannot be erased: the step fails, and the other one's certificate is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_is_certified_when_another_disk_fails() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let refused = LoopDisk::read_only(directory.path(), DISK)?;
    let site = Site::start_with(DISK, &[], None, &[refused.device()]).await?;
    let result = partly(&site, &refused).await;
    if result.is_err() {
        eprintln!("{}", site.logs());
    }
    result
}

async fn partly(site: &Site, refused: &LoopDisk) -> Result<()> {
    site.verb("manage").await?;
    site.settles_in("manageable").await?;
    let steps = json!([{"interface": "deploy", "step": "erase_devices"}]);
    site.conductor
        .send("PUT", "/v1/nodes/desk/states/provision", json!({"target": "clean", "clean_steps": steps}))
        .await?;
    let node = site.settles_in("clean failed").await?;
    let error = node["last_error"].as_str().unwrap_or_default();
    let name = refused.device().display().to_string();
    ensure!(error.contains(&name) && error.contains("read-only"), "{error}");
    ensure!(error.contains("devices erased all the same, and certified: 1"), "{error}");
    let erasures = site.conductor.get("/v1/nodes/desk/erasures").await?;
    let list = erasures["erasures"].as_array().context("no list")?;
    ensure!(list.len() == 1, "{erasures:#}");
    ensure!(list[0]["certificate"]["device"] == site.disk.device().display().to_string(), "{erasures:#}");
    says_what_is_not_erased(site, &erasures, &name)?;
    ensure!(site.disk.read(0, DISK as usize)?.iter().all(|byte| *byte == 0), "certified and not erased");
    Ok(())
}

/// Whoever looks for certificates sees the disk that has none, and why.
fn says_what_is_not_erased(site: &Site, erasures: &Value, name: &str) -> Result<()> {
    let list = erasures["not_erased"].as_array().context("no list")?;
    ensure!(list.len() == 1, "{erasures:#}");
    let statement = &list[0]["statement"];
    ensure!(statement["device"] == name && statement["result"] == "failed", "{statement:#}");
    ensure!(statement["kind"] == "device-not-erased" && statement["standard"] == "none", "{statement:#}");
    let (good, text) = tacit(site, &[])?;
    let line = text.lines().find(|line| line.contains("read-only"));
    ensure!(good && line.is_some_and(|line| line.contains(name)), "{text}");
    ensure!(text.contains("NOT erased") && text.contains("All signatures are good"), "{text}");
    let page = site.state_dir().join("erasure.html");
    let (good, text) = tacit(site, &["--html", page.to_str().context("a path of the test")?])?;
    ensure!(good && text.contains("1 certificates, and 1 times"), "{text}");
    let html = std::fs::read_to_string(&page)?;
    ensure!(html.contains(&format!("NOT erased: {name}")) && html.contains("read-only"), "{html}");
    Ok(())
}

/// Takes seconds to be overwritten several times.
const LARGE: u64 = 256 << 20;

/// Somebody stops an erasure when one disk of two is done: that one's certificate is not lost, whenever the conductor
/// dies.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_is_certified_when_the_rest_is_stopped() -> Result<()> {
    for crash in [false, true] {
        let directory = tempfile::tempdir()?;
        let other = LoopDisk::new(directory.path(), LARGE)?;
        // One disk after the other, and time enough to stop the second; so few passes that the first one's events do not
        // use up what may be told at once.
        let arguments = &["--disk-erasure-concurrency", "1", "--erase-devices-iterations", "20"];
        let mut site = Site::start_with(LARGE, arguments, None, &[other.device()]).await?;
        let result = stopped(&mut site, &other, crash).await;
        if result.is_err() {
            eprintln!("{}", site.logs());
        }
        result?;
    }
    Ok(())
}

async fn stopped(site: &mut Site, other: &LoopDisk, crash: bool) -> Result<()> {
    site.verb("manage").await?;
    site.settles_in("manageable").await?;
    let steps = json!([{"interface": "deploy", "step": "erase_devices"}]);
    site.conductor
        .send("PUT", "/v1/nodes/desk/states/provision", json!({"target": "clean", "clean_steps": steps}))
        .await?;
    let first = overwritten(site, None).await?;
    overwritten(site, Some(&first)).await?;
    site.verb("abort").await?;
    if crash {
        site.crash_conductor().await?;
    }
    let node = site.settles_in("clean failed").await?;
    let error = node["last_error"].as_str().unwrap_or_default();
    ensure!(error.contains("aborted") && error.contains("erase_devices"), "{error}");
    ensure!(!site.machine.is_on(), "the machine still runs");
    let erasures = site.conductor.get("/v1/nodes/desk/erasures").await?;
    let list = erasures["erasures"].as_array().context("no list")?;
    ensure!(list.len() == 1, "{erasures:#}");
    let certificate = &list[0]["certificate"];
    ensure!(certificate["device"] == first && certificate["result"] == "proven", "{erasures:#}");
    let not_erased = erasures["not_erased"].as_array().context("no list")?;
    ensure!(not_erased.len() == 1 && not_erased[0]["statement"]["device"] != first, "{erasures:#}");
    ensure!(not_erased[0]["statement"]["operation"] == certificate["operation"], "{erasures:#}");
    let disks = [&site.disk, other];
    let done = disks.into_iter().find(|disk| disk.device().display().to_string() == first);
    let bytes = done.context("a disk of the test")?.read(0, LARGE as usize)?;
    ensure!(bytes.iter().all(|byte| *byte == 0), "certified and not erased");
    Ok(())
}

/// Waits until a disk is being written to, another one than `but`; returns its name.
async fn overwritten(site: &Site, but: Option<&str>) -> Result<String> {
    let started = std::time::Instant::now();
    let mut after = 0;
    while started.elapsed() < std::time::Duration::from_secs(60) {
        let page = site.conductor.get(&format!("/v1/nodes/desk/events?after={after}&wait=5")).await?;
        let progress = page["events"].as_array().into_iter().flatten().map(|event| &event["progress"]);
        let begun = progress.filter(|progress| progress["stage"] != "begin");
        let mut disks = begun.filter_map(|progress| progress["device"].as_str());
        if let Some(disk) = disks.find(|disk| Some(*disk) != but) {
            return Ok(disk.to_owned());
        }
        after = page["last"].as_u64().unwrap_or(after);
    }
    anyhow::bail!("no other disk than {but:?} is written to")
}

/// Another conductor's authority did not sign this.
fn stranger_is_refused(site: &Site) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let stranger = tacit_conductor::pki::Pki::open_or_create(&directory.path().join("pki"))?;
    let file = directory.path().join("stranger.crt");
    std::fs::write(&file, stranger.ca_pem())?;
    let (good, text) = tacit(site, &["--authority", file.to_str().context("a path of the test")?])?;
    ensure!(!good && text.contains("not to be believed"), "a stranger's authority was accepted: {text}");
    Ok(())
}
