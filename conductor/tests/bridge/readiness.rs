//! What comes before Ironic hears of an agent, and what must not stand in its way.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::agent::Agent;
use crate::machine::Machine;
use crate::site::{Mode, Site, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_prepares_is_not_announced_and_has_the_time_before_it_is() {
    let mut site = Site::without_agent(Mode::Proxy, "clean wait").await;
    let directory = site.directory.path().join("agent");
    let (managers, gate) = (directory.join("managers"), site.directory.path().join("gate"));
    std::fs::create_dir_all(&managers).unwrap();
    // A hardware manager that takes its time.
    let manager = managers.join("slow");
    std::fs::write(&manager, format!("#!/bin/sh\nuntil [ -e {gate:?} ]; do sleep 0.05; done\n")).unwrap();
    std::fs::set_permissions(&manager, std::fs::Permissions::from_mode(0o755)).unwrap();
    site.agent = Some(Agent::start(site.agent_address(), &directory, &site.ca(), None));
    until("the bridge's remark", || site.bridge.log().contains("its agent is not ready")).await;
    assert_eq!(site.ironic.look(|node| (node.heartbeats.len(), node.events.len())), (0, 0));
    until("the clock", || site.agent().log().contains("PUT /v2/clock 200")).await;
    std::fs::write(gate, "").unwrap();
    site.ironic.first_heartbeat().await;
    // Once in each life.
    assert_eq!(site.agent().log().matches("PUT /v2/clock 200").count(), 1);
    site.agent().restart();
    site.ironic.next_heartbeat().await;
    assert_eq!(site.agent().log().matches("PUT /v2/clock 200").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_that_nobody_asked_for_holds_nothing_up() {
    for fault in [406, 503] {
        let site = Site::without_agent(Mode::Relay, "clean wait").await;
        site.ironic.look(|node| node.inspection_fault = Some(fault));
        let directory = site.directory.path().join("agent");
        let _agent = Agent::start(site.agent_address(), &directory, &site.ca(), None);
        site.ironic.first_heartbeat().await;
        assert_eq!(site.ironic.look(|node| node.events[0]), "inspection");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_that_ironic_waits_for_is_offered_until_it_is_taken() {
    let site = Site::without_agent(Mode::Relay, "inspect wait").await;
    site.ironic.look(|node| (node.inspection_fault, node.readable) = (Some(409), true));
    site.until_counted("nodes{phase=\"searching\"} 1").await;
    let directory = site.directory.path().join("agent");
    let _agent = Agent::start(site.agent_address(), &directory, &site.ca(), None);
    // More often than a round of attempts.
    until("attempts", || site.ironic.look(|node| node.events.len() > 4)).await;
    assert!(!site.ironic.look(|node| node.events.contains(&"heartbeat")));
    site.ironic.look(|node| node.inspection_fault = None);
    until("the inspection", || site.ironic.look(|node| !node.inspections.is_empty())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_gone_for_good_is_left_alone_until_somebody_asks_for_it() {
    let mut site = Site::start(Mode::Proxy, "wait call-back", None).await;
    site.ironic.look(|node| node.readable = true);
    site.ironic.first_heartbeat().await;
    let steps = site.ironic.command("deploy.get_deploy_steps", json!({"node": {}, "ports": []}), true).await;
    until("the bridge's note", || site.session()["last"]["id"] == steps["id"]).await;
    // Its node is deployed. Nothing tells the bridge that the token is not needed any more.
    site.agent().stop();
    site.ironic.look(|node| node.state = "active".to_owned());
    site.bridge.kill();
    let nobody = TcpListener::bind(site.agent_address()).await.unwrap();
    site.restart_bridge();
    // A bridge that begins looks once.
    drop(nobody.accept().await.unwrap());
    drop(nobody);
    site.until_counted("nodes{phase=\"idle\"} 1").await;
    assert!(!site.session().is_null());
    // Ironic calls it in a state in which it waits for nothing.
    site.ironic.look(|node| node.state = "deploying".to_owned());
    site.agent().resume();
    assert_eq!(site.ironic.commands().await.len(), 1);
    site.until_counted("nodes{phase=\"driving\"} 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_busy_is_not_announced() {
    let site = Site::without_agent(Mode::Proxy, "clean wait").await;
    let busy =
        |shown: &mut Value| shown["status"]["running"] = json!("an inspection of a bridge that was killed");
    let _machine = Machine::start(site.agent_address(), busy).await;
    until("the bridge's remark", || {
        site.bridge.log().contains("it is busy with what Ironic has not asked for")
    })
    .await;
    assert_eq!(site.ironic.look(|node| (node.heartbeats.len(), node.events.len())), (0, 0));
}
