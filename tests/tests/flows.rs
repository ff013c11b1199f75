//! The conductor's flows against a machine on the desk: real conductor, real agent, a disk of the loop driver.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use sha2::{Digest, Sha256};
use tacit_imaging::{BmapOptions, make_bmap};
use tacit_tests::desk::{Behaviour, Image, Site};

const MIB: u64 = 1 << 20;
const DISK: u64 = 64 * MIB;
/// Only a hang takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test and shows what agent and conductor wrote when it fails.
async fn on_site<F>(arguments: &[&'static str], test: F) -> Result<()>
where
    F: AsyncFnOnce(&mut Site) -> Result<()>,
{
    let mut site = Site::start(DISK, arguments).await?;
    let result = test(&mut site).await;
    if result.is_err() {
        eprintln!("{}", site.logs());
    }
    result
}

/// An available node, and an image of `mib` MiB to be deployed on it.
async fn ready(site: &Site, mib: usize) -> Result<Image> {
    let image = Image::gpt(mib)?;
    site.images.serve(image.bytes.clone());
    site.enroll().await?;
    site.image_is(&image.sha512).await?;
    Ok(image)
}

fn says(record: &serde_json::Value, words: &[&str]) -> Result<()> {
    let error = record["last_error"].as_str().unwrap_or_default();
    for word in words {
        ensure!(error.contains(word), "last_error does not say {word:?}: {error}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_life_of_a_node() -> Result<()> {
    on_site(&[], async |site| {
        let image = Image::gpt(20)?;
        site.images.serve(image.bytes.clone());
        site.verb("manage").await?;
        site.settles_in("manageable").await?;
        site.verb("inspect").await?;
        site.settles_in("manageable").await?;
        let inventory = site.conductor.get("/v1/nodes/desk/inventory").await?;
        ensure!(inventory["inventory"]["disks"][0]["size"] == DISK, "{inventory}");
        let collected = &inventory["plugin_data"];
        ensure!(
            collected["configuration"]["collectors"].as_array().is_some_and(|names| names.len() == 3),
            "{collected}"
        );
        ensure!(collected["pci_devices"].is_array() && collected["macs"].is_array(), "{collected}");
        site.verb("provide").await?;
        site.settles_in("available").await?;
        ensure!(!site.disk.is_bootable()?, "cleaning left a boot sector");

        site.image_is(&image.sha512).await?;
        site.verb("active").await?;
        site.settles_in("active").await?;
        ensure!(site.machine.is_on(), "the machine was not started from its disk");
        let written = site.disk.read(MIB, 18 << 20)?;
        ensure!(written == image.bytes[1 << 20..19 << 20], "the disk does not hold the image");
        let backup = site.disk.read(DISK - 512, 8)?;
        ensure!(backup == b"EFI PART", "the backup GPT is not at the end of the disk");

        site.verb("deleted").await?;
        let node = site.settles_in("available").await?;
        ensure!(!site.disk.is_bootable()?, "undeploy left a disk that boots");
        ensure!(node["instance_info"] == json!({}), "{}", node["instance_info"]);
        let history = site.history().await?.join("\n");
        for step in ["verify_bmc", "wait_for_agent", "inspect", "erase_devices_metadata", "write_image"] {
            ensure!(history.contains(step), "history does not show {step}:\n{history}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn conductor_killed_in_the_middle_of_a_write() -> Result<()> {
    on_site(&[], async |site| {
        let image = ready(site, 40).await?;
        site.images.hold_at(Some(20 << 20));
        site.verb("active").await?;
        site.progressed(8 * MIB).await?;
        site.crash_conductor().await?;
        site.images.hold_at(None);
        site.settles_in("active").await?;
        let starts = site.images.starts();
        ensure!(
            starts.iter().filter(|start| **start == 0).count() == 1,
            "written twice from zero: {starts:?}"
        );
        ensure!(starts.iter().any(|start| *start >= 8 * MIB), "not resumed: {starts:?}");
        ensure!(site.machine.power_ons() == 2, "booted {} times", site.machine.power_ons());
        ensure!(
            site.disk.read(MIB, 38 << 20)? == image.bytes[1 << 20..39 << 20],
            "the disk does not hold the image"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn conductor_killed_at_every_step() -> Result<()> {
    on_site(&[], async |site| {
        let image = ready(site, 12).await?;
        site.verb("active").await?;
        for event in ["insert_medium", "wait_for_agent", "write_image", "eject_medium"] {
            site.conductor
                .wait_for("desk", event, |node| {
                    node["deploy_step"]["step"] == event || node["provision_state"] == "active"
                })
                .await?;
            site.crash_conductor().await?;
        }
        site.settles_in("active").await?;
        ensure!(
            site.disk.read(MIB, 10 << 20)? == image.bytes[1 << 20..11 << 20],
            "the disk does not hold the image"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn image_server_away_in_the_middle() -> Result<()> {
    on_site(&[], async |site| {
        ready(site, 32).await?;
        site.images.hold_at(Some(16 << 20));
        site.verb("active").await?;
        site.progressed(4 * MIB).await?;
        site.images.down(true);
        let begun = std::time::Instant::now();
        while site.images.refused() < 4 {
            ensure!(begun.elapsed() < PATIENCE, "it was not asked again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        site.images.hold_at(None);
        site.images.down(false);
        site.settles_in("active").await?;
        let starts = site.images.starts();
        ensure!(starts.iter().filter(|start| **start == 0).count() == 1, "from zero again: {starts:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_digest_leaves_nothing_to_boot() -> Result<()> {
    on_site(&[], async |site| {
        let image = Image::gpt(16)?;
        site.images.serve(image.bytes.clone());
        site.enroll().await?;
        site.image_is(&"0".repeat(128)).await?;
        site.verb("active").await?;
        let node = site.settles_in("deploy failed").await?;
        says(&node, &["write_image", &image.sha512[..16], "not bootable"])?;
        ensure!(!site.disk.is_bootable()?, "unverified content can be booted");
        ensure!(!site.machine.is_on(), "the machine still runs");
        // The same node is deployed once the digest is right.
        site.image_is(&image.sha512).await?;
        site.verb("active").await?;
        site.settles_in("active").await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn image_larger_than_the_disk_is_refused_before_anything_is_written() -> Result<()> {
    on_site(&[], async |site| {
        ready(site, 80).await?;
        let before = site.disk.read(0, 64 << 20)?;
        site.verb("active").await?;
        let node = site.settles_in("deploy failed").await?;
        says(&node, &["write_image", "nothing was written"])?;
        ensure!(site.disk.read(0, 64 << 20)? == before, "the disk was touched");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_disk_matches_the_hints() -> Result<()> {
    on_site(&[], async |site| {
        ready(site, 16).await?;
        site.patch("/instance_info/root_device", json!({"serial": "NOSUCHDISK"})).await?;
        site.verb("active").await?;
        let node = site.settles_in("deploy failed").await?;
        says(&node, &["write_image", "NOSUCHDISK", "nothing was written"])?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_killed_in_the_middle_is_a_failure() -> Result<()> {
    on_site(&[], async |site| {
        ready(site, 40).await?;
        site.images.hold_at(Some(20 << 20));
        site.verb("active").await?;
        site.progressed(8 * MIB).await?;
        site.machine.kill_agent()?;
        site.machine.restart_agent()?;
        let node = site.settles_in("deploy failed").await?;
        says(&node, &["write_image"])?;
        ensure!(!site.disk.is_bootable()?, "unverified content can be booted");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn bmc_answers_500_then_503_then_works() -> Result<()> {
    on_site(&[], async |site| {
        site.bmc_faults().lock().unwrap().statuses.extend([500, 503]);
        site.verb("manage").await?;
        site.settles_in("manageable").await?;
        ensure!(site.bmc_faults().lock().unwrap().answered == 2, "the faults were not met");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn power_on_that_never_brings_an_agent() -> Result<()> {
    on_site(&["--agent-timeout", "3"], async |site| {
        site.verb("manage").await?;
        site.settles_in("manageable").await?;
        site.machine.behave(Behaviour::Dead);
        site.verb("inspect").await?;
        let node = site.settles_in("inspect failed").await?;
        let address =
            site.node().await?["driver_info"]["agent_address"].as_str().unwrap_or_default().to_owned();
        says(&node, &["wait_for_agent", "no agent answered", &address, "nobody fetched the medium"])?;
        let history = site.history().await?.join("\n");
        ensure!(history.contains("no agent answered"), "{history}");
        ensure!(!site.machine.is_on(), "the machine was left running");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_machine_at_the_known_address_is_refused() -> Result<()> {
    on_site(&[], async |site| {
        site.verb("manage").await?;
        site.settles_in("manageable").await?;
        site.verb("inspect").await?;
        site.settles_in("manageable").await?;
        // Yesterday's machine: a genuine certificate of this conductor, but not the one of this boot.
        let config = site.machine.config().expect("the machine was booted");
        site.machine.behave(Behaviour::Impostor(Box::new(config)));
        site.verb("inspect").await?;
        let node = site.settles_in("inspect failed").await?;
        says(&node, &["wait_for_agent", "wrong machine"])?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn abort_in_the_middle_of_a_write() -> Result<()> {
    on_site(&[], async |site| {
        ready(site, 40).await?;
        site.images.hold_at(Some(20 << 20));
        site.verb("active").await?;
        site.progressed(4 * MIB).await?;
        site.verb("abort").await?;
        let node = site.settles_in("deploy failed").await?;
        says(&node, &["aborted", "write_image"])?;
        ensure!(!site.disk.is_bootable()?, "unverified content can be booted");
        ensure!(!site.machine.is_on(), "the machine still runs");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn deployment_without_a_digest_is_refused_at_once() -> Result<()> {
    on_site(&[], async |site| {
        site.enroll().await?;
        site.patch("/instance_info", json!({"image_source": site.images.url()})).await?;
        let refused = site.verb("active").await.expect_err("nothing is written unverified").to_string();
        ensure!(refused.contains("400") && refused.contains("image_checksum"), "{refused}");
        ensure!(site.node().await?["provision_state"] == "available");
        Ok(())
    })
    .await
}

/// Whether the medium of the last boot, and the key in it, can still be fetched.
async fn medium_is_served(site: &Site) -> Result<bool> {
    let url = site.machine.medium().context("the machine was booted from a medium")?;
    Ok(reqwest::Client::builder().no_proxy().build()?.get(url).send().await?.status().is_success())
}

async fn writing(site: &Site) -> Result<Image> {
    let image = ready(site, 40).await?;
    site.images.hold_at(Some(20 << 20));
    site.verb("active").await?;
    site.progressed(4 * MIB).await?;
    Ok(image)
}

#[tokio::test(flavor = "multi_thread")]
async fn medium_of_a_flow_that_was_given_up_is_not_served_any_more() -> Result<()> {
    on_site(&[], async |site| {
        writing(site).await?;
        ensure!(medium_is_served(site).await?, "the medium is gone while the node runs from it");
        // The BMC is of no help: the machine cannot be let go, its key is withdrawn all the same.
        site.bmc_faults().lock().unwrap().statuses.extend([500; 200]);
        site.verb("abort").await?;
        site.settles_in("deploy failed").await?;
        ensure!(!medium_is_served(site).await?, "the node's key can still be fetched");
        let history = site.history().await?.join("\n");
        ensure!(history.contains("could not be let go"), "{history}");
        site.crash_conductor().await?;
        ensure!(!medium_is_served(site).await?, "the node's key is served again");
        site.bmc_faults().lock().unwrap().statuses.clear();
        site.images.hold_at(None);
        site.verb("active").await?;
        site.settles_in("active").await?;
        ensure!(site.node().await?["last_error"].is_null(), "last_error is kept");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn node_deleted_in_the_middle_of_a_write() -> Result<()> {
    on_site(&[], async |site| {
        writing(site).await?;
        let refused = site.conductor.send("DELETE", "/v1/nodes/desk", json!({})).await;
        ensure!(refused.is_err_and(|error| error.to_string().contains("409")), "deleted while it works");
        site.conductor.send("PUT", "/v1/nodes/desk/maintenance", json!({})).await?;
        site.conductor.send("DELETE", "/v1/nodes/desk", json!({})).await?;
        ensure!(!medium_is_served(site).await?, "the node's key can still be fetched");
        let started = std::time::Instant::now();
        while site.machine.is_on() {
            ensure!(started.elapsed() < Duration::from_secs(30), "the machine still runs");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        ensure!(!site.disk.is_bootable()?, "unverified content can be booted");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn undeploy_in_the_middle_of_a_write() -> Result<()> {
    on_site(&[], async |site| {
        writing(site).await?;
        // Both at once, and once more: one wins, the others are told that the node is locked or elsewhere.
        let (undeploy, abort, again) =
            tokio::join!(site.verb("deleted"), site.verb("abort"), site.verb("deleted"));
        let answers = [undeploy, abort, again];
        ensure!(answers.iter().any(Result::is_ok), "{answers:?}");
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            let text = error.to_string();
            ensure!(text.contains("409") || text.contains("400"), "{text}");
        }
        let node = site
            .conductor
            .wait_for("desk", "rest", |node| {
                let at = node["provision_state"].as_str().unwrap_or_default();
                (at == "available" || at == "deploy failed") && node["reservation"].is_null()
            })
            .await?;
        if node["provision_state"] == "deploy failed" {
            site.verb("deleted").await?;
        }
        let node = site.settles_in("available").await?;
        ensure!(node["last_error"].is_null() && node["instance_info"] == json!({}), "{node}");
        ensure!(!site.disk.is_bootable()?, "unverified content can be booted");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn conductor_killed_while_it_gives_up() -> Result<()> {
    on_site(&[], async |site| {
        writing(site).await?;
        site.verb("abort").await?;
        site.crash_conductor().await?;
        let node = site.settles_in("deploy failed").await?;
        says(&node, &["aborted", "write_image"])?;
        ensure!(!site.machine.is_on(), "the machine still runs");
        let again = site.verb("abort").await.expect_err("nothing is left to abort").to_string();
        ensure!(again.contains("400") && again.contains("deploy failed"), "{again}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn verbs_while_a_step_holds_the_node() -> Result<()> {
    on_site(&[], async |site| {
        ready(site, 12).await?;
        // The BMC refuses while the ramdisk is being booted: the node is held for a while.
        site.bmc_faults().lock().unwrap().statuses.extend([503; 400]);
        site.verb("active").await?;
        for verb in ["abort", "deleted", "active", "manage"] {
            let refused = site.verb(verb).await.expect_err("the node is held").to_string();
            ensure!(refused.contains("409") && refused.contains("locked"), "{verb}: {refused}");
        }
        let power = json!({"target": "power off"});
        let refused = site.conductor.send("PUT", "/v1/nodes/desk/states/power", power).await;
        ensure!(refused.is_err(), "the power was switched under a flow");
        site.bmc_faults().lock().unwrap().statuses.clear();
        site.settles_in("active").await?;
        ensure!(site.machine.power_ons() == 2, "booted {} times", site.machine.power_ons());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn bmc_dead_at_undeploy_is_an_error_that_can_be_repeated() -> Result<()> {
    on_site(&[], async |site| {
        ready(site, 12).await?;
        site.verb("active").await?;
        site.settles_in("active").await?;
        site.bmc_faults().lock().unwrap().statuses.extend([500; 400]);
        site.verb("deleted").await?;
        site.conductor.wait_for("desk", "error", |node| node["provision_state"] == "error").await?;
        site.bmc_faults().lock().unwrap().statuses.clear();
        let node = site.settles_in("error").await?;
        says(&node, &["power_off", "BMC", "busy with itself"])?;
        ensure!(!node.to_string().contains("\"redfish_password\":\"desk\""), "the password is shown");
        site.verb("deleted").await?;
        let node = site.settles_in("available").await?;
        ensure!(node["last_error"].is_null(), "{node}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_and_a_block_map_travel_over_lent_connections() -> Result<()> {
    on_site(&[], async |site| {
        let mut bytes = Image::gpt(20)?.bytes;
        bytes[4 << 20..12 << 20].fill(0);
        let image = Image::of(bytes);
        let keys = minisign::KeyPair::generate_unencrypted_keypair()?;
        let signature = minisign::sign(None, &keys.sk, &image.bytes[..], None, None)?.into_string();
        let directory = site.image_dir()?;
        let file = |name: &str| directory.join(name);
        std::fs::write(file("disk.raw"), &image.bytes)?;
        std::fs::write(file("disk.raw.minisig"), signature)?;
        let map = make_bmap(&file("disk.raw"), BmapOptions::default(), &AtomicU64::new(0), &|| false)?;
        let map = map.to_string();
        std::fs::write(file("disk.bmap"), &map)?;

        site.enroll().await?;
        site.patch("/driver_info/image_signature_keys", json!([keys.pk.to_base64()])).await?;
        site.patch("/driver_info/require_image_signature", json!(true)).await?;
        site.file_image_is(&file("disk.raw"), &image.sha512).await?;
        let refused = site.verb("active").await.expect_err("a signature is required").to_string();
        ensure!(refused.contains("instance_info.image_signature is missing"), "{refused}");

        let url = |name: &str| json!(format!("file://{}", file(name).display()));
        site.patch("/instance_info/image_signature", url("disk.raw.minisig")).await?;
        site.verb("active").await?;
        site.settles_in("active").await?;
        let written = site.disk.read(MIB, 18 << 20)?;
        ensure!(written == image.bytes[1 << 20..19 << 20], "the disk does not hold the image");

        // The same key, but another image: its digest is right, the signature is not.
        let other = Image::gpt(20)?;
        std::fs::write(file("disk.raw"), &other.bytes)?;
        site.patch("/instance_info/image_os_hash_value", json!(other.sha512)).await?;
        site.verb("rebuild").await?;
        let node = site.settles_in("deploy failed").await?;
        says(&node, &["signature", "not bootable"])?;
        ensure!(!site.disk.is_bootable()?, "unverified content can be booted");

        // A pinned block map alone.
        std::fs::write(file("disk.raw"), &image.bytes)?;
        let digest = Sha256::digest(map.as_bytes());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        site.patch("/driver_info/require_image_signature", json!(false)).await?;
        let info = json!({
            "image_source": url("disk.raw"), "bmap_url": url("disk.bmap"), "bmap_checksum": digest,
            "verify": "full", "root_device": {"name": site.disk.device().display().to_string()},
        });
        site.patch("/instance_info", info).await?;
        site.verb("rebuild").await?;
        site.settles_in("active").await?;
        let written = site.disk.read(MIB, 18 << 20)?;
        ensure!(written == image.bytes[1 << 20..19 << 20], "the disk does not hold the image");
        let history = site.history().await?.join("\n");
        ensure!(history.contains("write_image: image (disk.raw) written to"), "{history}");
        ensure!(!history.contains("prepare_image") && !history.contains("{\""), "{history}");
        Ok(())
    })
    .await
}
