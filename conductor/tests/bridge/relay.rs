//! Ironic speaks to the agent itself.

use serde_json::json;

use crate::agent::Agent;
use crate::site::{Mode, NODE, Site, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_cleaned() {
    let mut site = Site::start(Mode::Relay, "clean wait", None).await;
    site.ironic.first_heartbeat().await;
    let beat = site.ironic.look(|node| node.heartbeats[0].clone());
    assert_eq!(beat["callback_url"], format!("https://{}", site.agent_address()));
    assert!(beat["agent_verify_ca"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    let (step, params) = {
        let step = json!({"interface": "deploy", "step": "erase_devices_metadata", "priority": 10});
        let params = site.agent().step("clean", step.clone());
        (step, params)
    };
    let ironic = &site.ironic;
    // Nothing of the bridge is in the list: that would mean that the machine is not freshly booted.
    assert!(ironic.commands().await.is_empty());
    assert_eq!(ironic.call(&"x".repeat(43), false, None).await.unwrap().0, 401);
    let steps = ironic.command("clean.get_clean_steps", json!({"node": {}, "ports": []}), true).await;
    assert_eq!(steps["command_status"], "SUCCEEDED");
    let started = ironic.command("clean.execute_clean_step", params, false).await;
    assert_eq!(started["command_name"], "execute_clean_step");
    let ended = ironic.ended().await;
    assert_eq!(ended["command_status"], "SUCCEEDED", "{ended}");
    assert_eq!(ended["command_result"]["clean_step"], step);
    assert_eq!(ironic.look(|node| node.lookups), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_boot_medium_is_the_agents_to_tell() {
    let token = "m".repeat(43);
    let site = Site::start(Mode::Relay, "wait call-back", Some(&token)).await;
    site.ironic.first_heartbeat().await;
    assert_eq!(site.ironic.look(|node| node.heartbeats[0]["agent_token"].clone()), token);
    assert!(site.ironic.commands().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_inspection_finds_is_posted() {
    let site = Site::start(Mode::Relay, "inspect wait", None).await;
    until("the inspection", || site.ironic.look(|node| !node.inspections.is_empty())).await;
    let data = site.ironic.look(|node| node.inspections[0].clone());
    assert!(data["inventory"]["interfaces"].is_array() && data["inventory"]["memory"].is_object(), "{data}");
    site.until_counted("inspections_total{result=\"ok\"} 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_that_ironic_is_known_to_wait_for_is_made_once() {
    let mut site = Site::without_agent(Mode::Relay, "inspect wait").await;
    // What it lists stays as it is, as in the seconds after an inspection.
    let listed = json!({"uuid": NODE, "provision_state": "inspect wait", "driver_info": {}});
    site.ironic.look(|node| (node.readable, node.listed) = (true, Some(vec![listed.clone()])));
    // Of each state once, and the second time begins: the first has been told.
    until("what Ironic waits for", || site.ironic.look(|node| node.lists > 5)).await;
    let directory = site.directory.path().join("agent");
    site.agent = Some(Agent::start(site.agent_address(), &directory, &site.ca(), None));
    site.ironic.first_heartbeat().await;
    assert_eq!(site.ironic.look(|node| node.inspections.len()), 1);
    assert!(!site.counts("inspections_total{result=\"not_found\"} 1").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ironic_does_not_wait_for_is_left_alone() {
    let site = Site::start(Mode::Relay, "available", None).await;
    site.ironic.look(|node| node.readable = true);
    // Its first look is over.
    until("lists", || site.ironic.look(|node| node.lists > 5)).await;
    site.until_counted("nodes{phase=\"idle\"} 1").await;
    let before = site.ironic.look(|node| node.lookups);
    site.ironic.look(|node| node.state = "clean wait".to_owned());
    site.ironic.first_heartbeat().await;
    assert_eq!(site.ironic.look(|node| node.lookups), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ironic_takes_back_ends_the_session_and_the_next_one_begins() {
    let mut site = Site::start(Mode::Relay, "clean wait", None).await;
    site.ironic.first_heartbeat().await;
    let first = site.ironic.token();
    // Ironic restarts the machine.
    site.ironic.wipe();
    site.agent().reboot();
    until("another token", || {
        site.ironic.look(|node| node.heartbeats.last().unwrap()["agent_token"] != first.as_str())
    })
    .await;
    assert!(site.ironic.commands().await.is_empty());
    assert_eq!(site.ironic.call(&first, false, None).await.unwrap().0, 401);
}
