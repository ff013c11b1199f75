//! An Ironic that is not there, or not well: the bridge waits.

use serde_json::json;

use crate::ironic::Fault;
use crate::site::{Mode, Site, until};

const FAULTS: [Fault; 8] = [
    Fault::Status(302),
    Fault::Status(404),
    Fault::Status(409),
    Fault::Status(503),
    Fault::Status(500),
    Fault::Status(403),
    Fault::Huge,
    Fault::Malformed,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_is_asked_again_until_it_is_answered() {
    let mut site = Site::without_agent(Mode::Relay, "clean wait").await;
    site.ironic.look(|node| node.fault = Some(Fault::Status(404)));
    let (address, directory, ca) = (site.agent_address(), site.directory.path().join("agent"), site.ca());
    site.agent = Some(crate::agent::Agent::start(address, &directory, &ca, None));
    for (fault, kind) in [
        (Fault::Status(404), "not_found"),
        (Fault::Status(409), "locked"),
        (Fault::Status(503), "server_error"),
        (Fault::Malformed, "malformed"),
    ] {
        site.ironic.look(|node| node.fault = Some(fault));
        site.until_counted(&format!("lookups_total{{result=\"{kind}\"}}")).await;
    }
    site.ironic.look(|node| node.fault = None);
    site.ironic.first_heartbeat().await;
    assert!(site.bridge.runs());
}

/// Heartbeats that did not arrive.
async fn refused(site: &Site) -> u64 {
    let page = site.metrics().await;
    let lines = page.lines().filter(|line| line.starts_with("tacit_bridge_heartbeats_total"));
    lines
        .filter(|line| !line.contains("\"ok\""))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_are_repeated_and_the_token_stays() {
    let mut site = Site::start(Mode::Proxy, "clean wait", None).await;
    site.ironic.first_heartbeat().await;
    let token = site.ironic.token();
    for fault in FAULTS {
        let before = refused(&site).await;
        site.ironic.look(|node| node.fault = Some(fault));
        let step = json!({"interface": "deploy", "step": "erase_devices_metadata", "priority": 10});
        let params = site.agent().step("clean", step);
        // What ends now must be told at once: each fault meets a heartbeat.
        let done = site.ironic.command("clean.execute_clean_step", params, true).await;
        assert_eq!(done["command_status"], "SUCCEEDED", "{done}");
        while refused(&site).await == before {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        site.ironic.look(|node| node.fault = None);
        let beat = site.ironic.next_heartbeat().await;
        assert_eq!(beat["agent_token"], token.as_str(), "{fault:?}");
    }
    assert_eq!(site.ironic.look(|node| (node.lookups, node.refused)), (1, 0));
    assert!(site.bridge.runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ironic_that_is_gone_is_waited_for() {
    let mut site = Site::start(Mode::Relay, "clean wait", None).await;
    site.ironic.first_heartbeat().await;
    site.ironic.down();
    site.until_counted("heartbeats_total{result=\"unreachable\"}").await;
    // The bridge itself may go, too.
    site.restart_bridge();
    until("the bridge", || std::net::TcpStream::connect(site.status).is_ok()).await;
    site.until_counted("heartbeats_total{result=\"unreachable\"}").await;
    site.ironic.up().await;
    site.ironic.next_heartbeat().await;
    assert_eq!(site.ironic.look(|node| (node.lookups, node.refused)), (1, 0));
    assert!(site.ironic.commands().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_answers_does_not_keep_the_bridge_from_its_end() {
    let Site { bridge, ironic, status, .. } = Site::without_agent(Mode::Relay, "clean wait").await;
    ironic.look(|node| (node.readable, node.fault) = (true, Some(Fault::Silent)));
    until("a question without an answer", || ironic.look(|node| node.unanswered > 0)).await;
    until("the bridge", || std::net::TcpStream::connect(status).is_ok()).await;
    let asked = std::time::Instant::now();
    assert!(bridge.terminate().success());
    // Its question would have gone on for 30 s, and its supervisor waits for 15 s.
    assert!(asked.elapsed() < std::time::Duration::from_secs(12), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_answers_holds_nothing_up() {
    let site = Site::start(Mode::Proxy, "clean wait", None).await;
    site.ironic.first_heartbeat().await;
    site.ironic.look(|node| node.fault = Some(Fault::Silent));
    // Longer than a request may take.
    site.until_counted("heartbeats_total{result=\"unreachable\"}").await;
    site.ironic.look(|node| node.fault = None);
    site.ironic.next_heartbeat().await;
}
