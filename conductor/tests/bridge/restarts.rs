//! An agent that restarts in the middle of a step: a failure, never a step that was skipped or done twice.

use serde_json::{Value, json};

use crate::images::Images;
use crate::ironic::call;
use crate::site::{Mode, NODE, Site, until};

/// In the middle of writing an image.
async fn writing(mode: Mode, token: Option<&str>) -> (Site, Images) {
    let mut site = Site::start(mode, "wait call-back", token).await;
    let images = Images::start().await;
    site.ironic.first_heartbeat().await;
    let params = site.agent().step("deploy", images.step());
    site.ironic.command("deploy.execute_deploy_step", params, false).await;
    until("the image's first request", || images.requests() > 0).await;
    if mode == Mode::Relay {
        // The bridge hears of the command from the agent.
        until("the bridge's note", || site.session()["last"]["name"] == "execute_deploy_step").await;
    }
    (site, images)
}

fn failed(command: &Value) -> &str {
    assert_eq!(
        (&command["command_name"], &command["command_status"]),
        (&json!("execute_deploy_step"), &json!("FAILED"))
    );
    command["command_error"]["details"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_was_killed_says_itself_what_it_lost() {
    for mode in [Mode::Relay, Mode::Proxy] {
        let (mut site, _images) = writing(mode, None).await;
        site.agent().restart();
        let ended = site.ironic.ended().await;
        assert!(failed(&ended).contains("interrupted by a restart"), "{ended}");
        assert_eq!(site.ironic.look(|node| node.lookups), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn for_a_machine_that_rebooted_the_bridge_says_what_was_lost() {
    for token in [None, Some("m".repeat(43))] {
        let (mut site, images) = writing(Mode::Proxy, token.as_deref()).await;
        site.agent().reboot();
        let ended = site.ironic.ended().await;
        failed(&ended);
        assert_eq!(site.ironic.commands().await.len(), 1);
        site.until_counted("operations_lost_total{reported=\"heartbeat\"} 1").await;
        // Nothing is begun on an agent that Ironic takes for another one.
        let again = site.agent().step("deploy", images.step());
        let answer = site.ironic.command("deploy.execute_deploy_step", again, false).await;
        failed(&answer);
        // But its logs are to be had.
        let logs = site.ironic.command("log.collect_system_logs", json!({}), true).await;
        assert_eq!(logs["command_status"], "SUCCEEDED", "{logs}");
        // The next operation begins with another token.
        site.ironic.wipe();
        if token.is_none() {
            until("another session", || {
                site.ironic.look(|node| node.lookups > 2 && node.agent_url.is_some())
            })
            .await;
            // Of the steps that were begun in the former boot, nothing is told any more.
            let listed = site.ironic.commands().await;
            let step =
                |command: &Value| command["command_name"].as_str().is_some_and(|name| name.contains("step"));
            assert!(!listed.iter().any(step), "{listed:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_waits_for_the_agent_is_not_begun_after_a_restart_of_nobodys_doing() {
    let mut site = Site::start(Mode::Proxy, "clean wait", None).await;
    site.ironic.first_heartbeat().await;
    let params = json!({"node": {"uuid": NODE}, "ports": []});
    site.ironic.command("clean.get_clean_steps", params, true).await;
    site.agent().stop();
    site.until_counted("nodes{phase=\"searching\"} 1").await;
    // Ironic orders while nobody is there, and the machine comes back from a reset that was not Ironic's.
    let step = json!({"interface": "deploy", "step": "erase_devices_metadata"});
    let params = site.agent().step("clean", step);
    let body = json!({"name": "clean.execute_clean_step", "params": params});
    let (url, ca) = site.ironic.look(|node| (node.agent_url.clone().unwrap(), node.verify_ca.clone()));
    let token = site.ironic.token();
    let waiting =
        tokio::spawn(async move { call(&url, ca.as_deref(), &token, false, Some(body)).await.unwrap() });
    site.agent().boot();
    let (status, answer) = waiting.await.unwrap();
    assert!(status == 503 || answer["command_status"] == "FAILED", "{status} {answer}");
    site.until_counted("operations_lost_total{reported=\"heartbeat\"} 1").await;
    let log = site.agent().log();
    assert!(!log.contains("execute_clean_step"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_ironic_itself_a_rebooted_machine_never_looks_freshly_booted() {
    for token in [None, Some("m".repeat(43))] {
        let (mut site, _images) = writing(Mode::Relay, token.as_deref()).await;
        site.agent().reboot();
        site.until_counted("operations_lost_total{reported=\"heartbeat\"} 1").await;
        site.ironic.next_heartbeat().await;
        // What Ironic does now fails: the machine has another certificate, and knows the token no more or is another.
        site.ironic.call(&site.ironic.token(), false, None).await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_was_away_meanwhile_finds_out_all_the_same() {
    let (mut site, _images) = writing(Mode::Proxy, Some(&"m".repeat(43))).await;
    site.bridge.kill();
    site.agent().reboot();
    site.restart_bridge();
    let ended = site.ironic.ended().await;
    failed(&ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_that_ironic_asked_for_is_none_of_this() {
    for mode in [Mode::Proxy, Mode::Relay] {
        asked_for(mode).await;
    }
}

async fn asked_for(mode: Mode) {
    let token = "m".repeat(43);
    let mut site = Site::start(mode, "clean wait", Some(&token)).await;
    site.ironic.first_heartbeat().await;
    let step = json!({"interface": "deploy", "step": "erase_devices_metadata", "priority": 10});
    let params = site.agent().step("clean", step);
    site.ironic.command("clean.execute_clean_step", params, false).await;
    let ended = site.ironic.ended().await;
    assert_eq!(ended["command_status"], "SUCCEEDED", "{ended}");
    // Ironic reboots it out of band, and keeps the token of the medium.
    site.agent().stop();
    site.until_counted("nodes{phase=\"searching\"} 1").await;
    site.ironic.look(|node| (node.agent_url, node.verify_ca) = (None, None));
    site.agent().boot();
    until("the agent again", || site.ironic.look(|node| node.agent_url.is_some())).await;
    site.ironic.next_heartbeat().await;
    assert!(site.ironic.commands().await.is_empty());
    assert!(!site.metrics().await.contains("operations_lost_total"));
}

fn name_and_status(command: &Value) -> (&str, &str) {
    (command["command_name"].as_str().unwrap(), command["command_status"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_reset_between_two_steps_is_never_taken_for_freshly_booted() {
    // The first step is done by Ironic itself, or it holds.
    let mut site = Site::start(Mode::Proxy, "clean wait", None).await;
    site.ironic.first_heartbeat().await;
    let steps = site.ironic.command("clean.get_clean_steps", json!({"node": {}, "ports": []}), true).await;
    assert_eq!(steps["command_status"], "SUCCEEDED");
    until("the bridge's note", || site.session()["last"]["name"] == "get_clean_steps").await;
    site.agent().reboot();
    site.until_counted("operations_lost_total{reported=\"heartbeat\"} 1").await;
    let listed = site.ironic.commands().await;
    let listed: Vec<_> = listed.iter().map(name_and_status).collect();
    assert_eq!(listed, [("execute_clean_step", "FAILED")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_before_any_command_is_no_reason_to_wait_for_ever() {
    let mut site = Site::start(Mode::Proxy, "wait call-back", None).await;
    site.ironic.first_heartbeat().await;
    site.agent().reboot();
    site.until_counted("operations_lost_total{reported=\"heartbeat\"} 1").await;
    // Ironic looks for "commands" without a look at the status, and gives up.
    let (status, answer) = site.ironic.call(&site.ironic.token(), false, None).await.unwrap();
    assert_eq!(status, 500, "{answer}");
    assert!(answer.get("commands").is_none() && answer["faultstring"].is_string(), "{answer}");
    // Or it has to ask for steps first: from then on it is clear what it waits for.
    let steps = site.ironic.command("deploy.get_deploy_steps", json!({"node": {}, "ports": []}), true).await;
    assert_eq!(steps["command_status"], "SUCCEEDED");
    let step = site.agent().step("deploy", json!({"interface": "deploy", "step": "erase_devices_metadata"}));
    failed(&site.ironic.command("deploy.execute_deploy_step", step, false).await);
    failed(site.ironic.commands().await.last().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_failed_is_told_until_ironic_acts_on_it() {
    let mut site = Site::start(Mode::Proxy, "clean wait", Some(&"m".repeat(43))).await;
    site.ironic.first_heartbeat().await;
    let step = json!({"interface": "deploy", "step": "a step that nobody has", "priority": 10});
    let params = site.agent().step("clean", step);
    site.ironic.command("clean.execute_clean_step", params, false).await;
    // Ironic took the heartbeat, but its node was locked just then.
    until("a heartbeat", || site.session()["last"]["reported"] == true).await;
    site.agent().reboot();
    site.until_counted("operations_lost_total{reported=\"heartbeat\"} 1").await;
    let listed = site.ironic.commands().await;
    assert_eq!(listed.iter().map(name_and_status).next_back(), Some(("execute_clean_step", "FAILED")));
}
