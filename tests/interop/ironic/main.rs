//! Stock Ironic deploys the lab's virtual server with our ramdisk and bridge: nothing of Ironic is changed, and nothing of
//! its settings is there for us. Ironic makes the virtual media, leads the agent, and boots the disk.

mod bridge;
mod keystone;
mod network_boot;
mod ramdisk;
mod record;
mod site;
mod stock;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use network_boot::NetworkBoot;
use serde_json::json;
use site::{MIB, Site};
use stock::Access;
use tacit_tests::lab::{HOST_ADDRESS, run};

/// The rescue user's.
const PASSWORD: &str = "a-tenants-password";

/// What Ironic asks of the agent for a deployment, besides the list of commands.
const OF_A_DEPLOYMENT: [&str; 5] = [
    "deploy.get_deploy_steps",
    "deploy.execute_deploy_step",
    "standby.get_partition_uuids",
    "image.install_bootloader",
    "log.collect_system_logs",
];

#[test]
fn stock_ironic_leads_a_node_through_its_life() -> Result<()> {
    Site::run("ironic", Access::Password, |site, stages| {
        stages.run("inspect", || {
            site.reach("inspect", json!({}), "manageable")?;
            let inventory = site.ironic.inventory()?.to_string();
            for fact in [site.lab.server.mac, "TACITDISK0", "TACITLAB0001"] {
                ensure!(inventory.contains(fact), "the inventory does not say {fact}: {inventory}");
            }
            Ok(())
        })?;
        stages.run("provide: automated cleaning", || site.reach("provide", json!({}), "available"))?;

        let mark = site.lab.serial.mark();
        stages.run("deploy with config drive", || {
            site.choose_image(&site.lab.images.url("tiny.raw"))?;
            let drive = json!({"configdrive": {"meta_data": {"hostname": "given-by-config-drive"}}});
            site.reach("active", drive, "active")
        })?;
        stages.run("boot from disk", || site.booted("given-by-config-drive", mark))?;
        stages.run("boot entry, logs, requests", || {
            ensure!(
                site.has_boot_entry("Tacit tiny")?,
                "the firmware has no boot entry for the image's loader"
            );
            logs_were_collected(site)?;
            let entries = site.record()?;
            let commands = record::commands(&entries);
            for command in OF_A_DEPLOYMENT {
                ensure!(commands.contains(&command), "{command} was never sent: {commands:?}");
            }
            Ok(())
        })?;

        stages.run("rescue", || {
            // With virtual media, Ironic 39 switches the machine off when the tenant may come; not with fast track.
            site.ironic.set(&[("driver_info/fast_track", json!(true))])?;
            site.reach("rescue", json!({"rescue_password": PASSWORD}), "rescue")?;
            site.ironic.set(&[("driver_info/fast_track", json!(false))])?;
            let seen = site.rescue_user(PASSWORD, "cat /proc/cmdline; ls /dev/vda")?;
            ensure!(
                seen.contains("boot_method=vmedia") && seen.contains("/dev/vda"),
                "the rescue user sees {seen}"
            );
            ensure!(site.rescue_user("another", "true").is_err(), "any password will do");
            // What the tenant has is the machine, not the agent.
            let deadline = Instant::now() + Duration::from_secs(30);
            while site.agent_answers() {
                ensure!(Instant::now() < deadline, "the agent still answers");
            }
            Ok(())
        })?;
        let mark = site.lab.serial.mark();
        stages.run("unrescue", || site.reach("unrescue", json!({}), "active"))?;
        stages.run("boot from disk again", || site.booted("given-by-config-drive", mark))?;

        let mark = site.lab.serial.mark();
        stages.run("service step", || {
            let steps = json!({"service_steps": [{"interface": "deploy", "step": "verify_devices"}]});
            site.reach("service", steps, "active")?;
            site.booted("given-by-config-drive", mark)
        })?;

        let mark = site.lab.serial.mark();
        stages.run("rebuild", || {
            let drive = json!({"configdrive": {"meta_data": {"hostname": "rebuilt"}}});
            site.reach("rebuild", drive, "active")?;
            site.booted("rebuilt", mark)
        })?;

        stages.run("undeploy: automated cleaning", || {
            site.reach("deleted", json!({}), "available")?;
            ensure!(site.begins_blank()?, "the partition table is still there");
            Ok(())
        })?;
        stages.run("silence", || site.was_silent())?;

        // The same two files by iPXE: no medium, no token but that which the bridge is told. The firmware asks for an
        // address; the ramdisk has it from its command line.
        let _network_boot = stages.run("DHCP and TFTP up", || NetworkBoot::start(&site.lab))?;
        let mark = site.lab.serial.mark();
        stages.run("deploy by network boot", || {
            let address = format!("%default% ip={}::{HOST_ADDRESS}:255.255.255.0", site.lab.server.address);
            site.choose_image(&site.lab.images.url("tiny.raw"))?;
            site.ironic.boot_by_network(&address)?;
            site.reach("active", json!({}), "active").map(drop)
        })?;
        stages.run("boot from disk after network boot", || site.booted("tiny", mark))
    })
}

#[test]
fn a_killed_bridge_goes_on_and_a_killed_agent_fails_the_deployment() -> Result<()> {
    Site::run("ironic, killed", Access::Keystone, |site, stages| {
        stages.run("provide without cleaning", || {
            site.ironic.set(&[("automated_clean", json!(false))])?;
            site.reach("provide", json!({}), "available")
        })?;
        site.choose_image(&site.lab.images.slow_url("tiny.raw"))?;

        let mark = site.lab.serial.mark();
        stages.run("deploy: first megabytes", || {
            site.ironic.provision("active", json!({}))?;
            site.wait_while_deploying("6 MiB are written", || Ok(site.disk_bytes()? > 6 * MIB))
        })?;
        stages.run("kill -9 of the bridge, restart", || {
            site.bridge.kill9()?;
            site.bridge.run(&site.lab)
        })?;
        stages.run("deploy: to the end", || site.ironic.wait_for("active", site::A_BOOT))?;
        stages.run("boot from disk", || site.booted("tiny", mark))?;

        stages.run("rebuild: until the disk is blank", || {
            site.ironic.provision("rebuild", json!({}))?;
            site.wait_while_deploying("the disk is blank", || site.begins_blank())
        })?;
        stages.run("reset of the server: deploy failed", || {
            site.lab.bmc.reset()?;
            site.ironic.wait_for("deploy failed", site::A_BOOT)?;
            let reason =
                site.ironic.wait_for_note(&["rebooted in the middle of it"], Duration::from_secs(60))?;
            eprintln!("Ironic's reason: {reason}");
            ensure!(site.begins_blank()?, "what was broken off can boot");
            Ok(())
        })?;
        stages.run("kill -9 of the agent in a step: deploy failed", || {
            let step = json!({"interface": "deploy", "step": "kill_agent", "priority": 95, "args": {}});
            site.ironic.provision("active", json!({"deploy_steps": [step]}))?;
            site.ironic.wait_for("deploy failed", site::A_BOOT)?;
            // By the agent's journal, or by the bridge where it had not heard yet that the step began.
            let reasons =
                ["interrupted by a restart of the agent", "the agent restarted in the middle of it"];
            let reason = site.ironic.wait_for_note(&reasons, Duration::from_secs(60))?;
            eprintln!("Ironic's reason: {reason}");
            ensure!(site.begins_blank()?, "there was a step after the one that was broken off");
            Ok(())
        })?;
        stages.run("silence", || site.was_silent())?;

        // From here on the node fetches its image itself: it may reach the image server, and nobody else.
        stages.run("the bridge as a relay", || {
            site.bridge.kill9()?;
            site.bridge.choose_relay()?;
            site.lab.images.let_the_node_fetch()?;
            site.bridge.run(&site.lab)
        })?;
        let mark = site.lab.serial.mark();
        stages.run("deploy by relay", || {
            site.choose_image(&site.lab.images.url("tiny.raw"))?;
            site.reach("active", json!({}), "active").map(drop)
        })?;
        stages.run("boot from disk after relay", || site.booted("tiny", mark))
    })
}

/// Ironic has at least one bundle, and it holds something.
fn logs_were_collected(site: &Site) -> Result<()> {
    let mut bundles = Vec::new();
    for entry in std::fs::read_dir(site.ironic.deploy_logs())? {
        bundles.push(entry?.path());
    }
    let bundle = bundles.first().context("Ironic collected no logs")?;
    let mut list = Command::new("tar");
    list.arg("tzf").arg(bundle);
    let names = run(list)?;
    ensure!(names.lines().count() > 1, "{} holds next to nothing:\n{names}", bundle.display());
    Ok(())
}
