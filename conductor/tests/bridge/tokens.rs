//! A token from another boot medium than before.

use serde_json::json;

use crate::agent::Agent;
use crate::ironic::call;
use crate::site::{Mode, NODE, Site, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_a_new_token_is_announced_when_it_is_free_and_the_token_on_disk() {
    for mode in [Mode::Proxy, Mode::Relay] {
        let mut site = Site::start(mode, "clean wait", Some(&"m".repeat(43))).await;
        site.ironic.first_heartbeat().await;
        // The next operation: Ironic makes another medium.
        let token = "n".repeat(43);
        site.agent().stop();
        site.ironic.wipe();
        site.ironic.look(|node| {
            (node.token, node.told) = (Some(token.clone()), true);
            node.events.clear();
        });
        site.agent().boot_with(&token);
        until("the first heartbeat", || site.ironic.look(|node| node.events.contains(&"heartbeat"))).await;
        // While it inspects, an agent refuses what Ironic asks first.
        let (events, unkept) = site.ironic.look(|node| (node.events.clone(), node.unkept));
        assert_eq!(events[..2], ["inspection", "heartbeat"]);
        assert_eq!(unkept, 0);
        assert!(site.ironic.commands().await.is_empty());
        until("the end of the trial", || site.session()["accepted"] == true).await;
        assert!(site.session()["former"].is_null());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ironic_does_not_know_changes_nothing() {
    let token = "m".repeat(43);
    let mut site = Site::start(Mode::Proxy, "clean wait", Some(&token)).await;
    site.ironic.first_heartbeat().await;
    let step = json!({"interface": "deploy", "step": "a step that nobody has", "priority": 10});
    let params = site.agent().step("clean", step);
    site.ironic.command("clean.execute_clean_step", params, false).await;
    until("the bridge's note", || site.session()["last"]["name"] == "execute_clean_step").await;
    // Whoever takes over the address.
    site.agent().stop();
    site.agent().boot_with(&"x".repeat(43));
    site.until_counted("certificates_refused_total{reason=\"session\"}").await;
    assert!(site.ironic.look(|node| node.refused) > 0);
    // The bridge itself may go, in whatever it does just then.
    site.restart_bridge();
    site.agent().stop();
    site.agent().boot_with(&token);
    let ended = site.ironic.ended().await;
    assert_eq!(ended["command_status"], "FAILED", "{ended}");
    assert_eq!(site.session()["token"], token);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_through_before_ironic_has_taken_the_token() {
    let mut site = Site::without_agent(Mode::Proxy, "clean wait").await;
    // Whoever is at the address may show any token, and call the proxy with it.
    let token = "m".repeat(43);
    site.ironic.look(|node| {
        (node.token, node.told, node.heartbeat_fault) = (Some(token.clone()), true, Some(409));
    });
    let directory = site.directory.path().join("agent");
    site.agent = Some(Agent::start(site.agent_address(), &directory, &site.ca(), Some(&token)));
    site.until_counted("heartbeats_total{result=\"locked\"}").await;
    let (url, ca) = (format!("https://{}/agents/{NODE}", site.proxy), site.ca());
    let ca = std::fs::read_to_string(ca).unwrap();
    let asked = tokio::spawn(async move { call(&url, Some(&ca), &token, false, None).await });
    site.until_counted("heartbeats_total{result=\"locked\"} 3").await;
    assert!(!asked.is_finished());
    site.ironic.look(|node| node.heartbeat_fault = None);
    assert_eq!(asked.await.unwrap().unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ironic_makes_when_it_is_asked_about_another_one_is_not_lost() {
    let mut site = Site::start(Mode::Proxy, "clean wait", Some(&"m".repeat(43))).await;
    site.ironic.first_heartbeat().await;
    site.agent().stop();
    site.ironic.wipe();
    // From a medium of which Ironic knows nothing.
    site.agent().boot_with(&"n".repeat(43));
    let before = site.ironic.heartbeats();
    until("a heartbeat", || site.ironic.heartbeats() > before).await;
    assert!(site.ironic.commands().await.is_empty());
}
