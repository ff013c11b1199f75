//! Which machine is led for which node: never one because somebody wrote down an address.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tacit_ports::free_address;

use crate::ironic::Ironic;
use crate::machine::{MAC, Machine};
use crate::process::Process;
use crate::site::{NODE, bridge, until};

const OTHER: &str = "2be26c0b-03f2-4d2e-ae87-c02d7f33c123";

struct Found {
    directory: tempfile::TempDir,
    ironic: Ironic,
    bridge: Process,
    status: SocketAddr,
}

/// An Ironic in which these nodes wait at these addresses; one of them has the machine's interface as its port.
async fn waiting(nodes: &[(&str, SocketAddr)], ports_of: Option<&'static str>) -> Ironic {
    let ironic = Ironic::start("clean wait").await;
    let listed = |(uuid, address): &(&str, SocketAddr)| {
        json!({"uuid": uuid, "provision_state": "clean wait",
               "driver_info": {"agent_address": address.to_string()}})
    };
    let listed = nodes.iter().map(listed).collect();
    ironic.look(|node| (node.readable, node.listed, node.ports_of) = (true, Some(listed), ports_of));
    ironic
}

/// A bridge that leads whatever waits, and what `more` says.
async fn discovering(ironic: Ironic, more: &str) -> Found {
    let directory = tempfile::tempdir().unwrap();
    let status = free_address();
    let found = Found { bridge: start(&directory, &ironic, status, more), directory, ironic, status };
    until("the bridge", || std::net::TcpStream::connect(status).is_ok()).await;
    found
}

fn write(
    directory: &tempfile::TempDir,
    ironic: &Ironic,
    status: SocketAddr,
    more: &str,
) -> std::path::PathBuf {
    let config = directory.path().join("bridge.toml");
    let (state, ironic) = (directory.path().join("state"), ironic.address);
    let text = format!(
        "state_dir = {state:?}\nstatus_listen = '{status}'\n[ironic]\nurl = 'http://{ironic}'\n\
         [proxy]\nlisten = '127.0.0.1:0'\npublic_url = 'https://127.0.0.1:6390'\n\
         [defaults]\nmode = 'proxy'\n[discovery]\n{more}\n"
    );
    std::fs::write(&config, text).unwrap();
    config
}

fn start(directory: &tempfile::TempDir, ironic: &Ironic, status: SocketAddr, more: &str) -> Process {
    bridge(&write(directory, ironic, status, more))
}

impl Found {
    async fn until_logged(&self, text: &str) {
        until(text, || self.bridge.log().contains(text)).await;
    }

    async fn counted(&self, name: &str) -> bool {
        let page = reqwest::get(format!("http://{}/metrics", self.status)).await.unwrap();
        page.text().await.unwrap().contains(name)
    }

    fn lookups(&self) -> Vec<Value> {
        self.ironic.look(|node| node.asked.clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ironic_is_asked_for_a_discovered_node_by_what_its_machine_shows() {
    let address = free_address();
    let _machine = Machine::start(address, |_| {}).await;
    let found = discovering(waiting(&[(NODE, address)], Some(NODE)).await, "").await;
    found.ironic.first_heartbeat().await;
    assert_eq!(found.lookups(), [json!({"addresses": MAC})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_of_another_node_is_not_led() {
    let named = |address| format!("[[node]]\nuuid = '{NODE}'\naddress = '{address}'\n");
    for is_named in [false, true] {
        let address = free_address();
        let _machine = Machine::start(address, |_| {}).await;
        let more = if is_named { named(address) } else { String::new() };
        let found = discovering(waiting(&[(NODE, address)], Some(OTHER)).await, &more).await;
        found.until_logged(&format!("Ironic knows it as another node, {OTHER}")).await;
        assert!(found.counted("wrong_machines_total{reason=\"node\"}").await);
        assert_eq!(found.ironic.heartbeats(), 0);
        assert!(!found.directory.path().join(format!("state/nodes/{NODE}.json")).exists());
    }
}

/// A bridge with a wrong address for one node has asked Ironic for the machine's own node, [`NODE`]; that one waits at
/// the second address.
async fn told_to_the_wrong_leader(more: &str) -> (Found, Machine, SocketAddr) {
    let (wrong, right) = (free_address(), free_address());
    let machine = Machine::start(wrong, |_| {}).await;
    let more = more.replace("{right}", &right.to_string());
    let ironic = waiting(&[(OTHER, wrong), (NODE, right)], Some(NODE)).await;
    let found = discovering(ironic, &more).await;
    found.until_logged(&format!("Ironic knows it as another node, {NODE}")).await;
    assert!(found.ironic.look(|node| node.told));
    (found, machine, right)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_told_to_the_leader_of_another_node_is_not_lost() {
    let (found, _machine, right) = told_to_the_wrong_leader("").await;
    let _same = Machine::start(right, |_| {}).await;
    found.ironic.first_heartbeat().await;
    let kept = found.directory.path().join("state/nodes");
    let session: Value =
        serde_json::from_slice(&std::fs::read(kept.join(format!("{NODE}.json"))).unwrap()).unwrap();
    assert_eq!((&session["token"], &session["origin"]), (&json!(found.ironic.token()), &json!("lookup")));
    assert!(!kept.join(format!("{OTHER}.json")).exists());
    assert!(!found.bridge.log().contains(&found.ironic.token()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_does_not_prove_which_one_it_is_gets_no_token_of_another_leader() {
    let named = format!("[[node]]\nuuid = '{NODE}'\naddress = '{{right}}'\n");
    let (found, _machine, right) = told_to_the_wrong_leader(&named).await;
    let _stranger =
        Machine::start(right, |shown| shown["status"]["identity"]["mac_addresses"] = json!([])).await;
    found.until_logged("told its token to somebody else").await;
    assert_eq!(found.ironic.heartbeats(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discovered_node_without_ports_is_refused_with_a_word() {
    let address = free_address();
    let _machine = Machine::start(address, |_| {}).await;
    let found = discovering(waiting(&[(NODE, address)], None).await, "").await;
    found.until_logged(&format!("no node with a port of this machine ({MAC})")).await;
    assert_eq!(found.ironic.heartbeats(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discovered_machine_that_shows_nothing_is_refused() {
    let address = free_address();
    let _machine =
        Machine::start(address, |shown| shown["status"]["identity"]["mac_addresses"] = json!([])).await;
    let found = discovering(waiting(&[(NODE, address)], Some(NODE)).await, "").await;
    found.until_logged("it shows no interface").await;
    assert!(found.lookups().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_at_one_address_are_not_led() {
    let address = free_address();
    let machine = Machine::start(address, |_| {}).await;
    let found = discovering(waiting(&[(NODE, address), (OTHER, address)], Some(NODE)).await, "").await;
    found.until_logged(&format!("not led: {address} is the address of another node")).await;
    assert!(machine.asked().is_empty(), "{:?}", machine.asked());
    // What the file says of an address holds.
    let named = format!("[[node]]\nuuid = '{NODE}'\naddress = '{address}'\n");
    let found = discovering(waiting(&[(OTHER, address)], Some(NODE)).await, &named).await;
    found.until_logged(&format!("not led: {address} is the address of {NODE}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_under_two_names_has_one_leader() {
    let (one, two) = (free_address(), free_address());
    // One machine with two addresses, which read its token from its medium.
    let token = "m".repeat(43);
    let with_medium = |shown: &mut Value| {
        (shown["ipa"]["agent_token"], shown["ipa"]["from_medium"]) = (json!(token), json!(true));
    };
    let _first = Machine::start(one, with_medium).await;
    let _second = Machine::start(two, with_medium).await;
    let named = format!("[[node]]\nmacs = ['{MAC}']\naddress = '{one}'\n");
    let ironic = waiting(&[(NODE, two)], Some(NODE)).await;
    ironic.look(|node| (node.token, node.told) = (Some(token.clone()), true));
    let found = discovering(ironic, &named).await;
    let words = [&format!("node {NODE} is led as another one already"), "another bridge leads this node"];
    until("the other's complaint", || words.iter().any(|word| found.bridge.log().contains(*word))).await;
    found.ironic.first_heartbeat().await;
    let sessions = std::fs::read_dir(found.directory.path().join("state/nodes")).unwrap();
    let is_session = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|name| name == "json");
    assert_eq!(sessions.map(Result::unwrap).filter(is_session).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_file_says_of_a_discovered_node_holds_from_its_reading_on() {
    let address = free_address();
    let _machine = Machine::start(address, |_| {}).await;
    let found = discovering(waiting(&[(NODE, address)], Some(NODE)).await, "").await;
    found.ironic.first_heartbeat().await;
    let named = format!("[[node]]\nuuid = '{NODE}'\naddress = '{address}'\nmacs = ['52:54:00:ff:ff:ff']\n");
    write(&found.directory, &found.ironic, found.status, &named);
    found.bridge.hang_up();
    found.until_logged("its network interfaces are").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_endless_names_is_not_taken_at_its_word() {
    let address = free_address();
    let _machine =
        Machine::start(address, |shown| shown["status"]["boot_id"] = "b".repeat(2 << 20).into()).await;
    let found = discovering(waiting(&[(NODE, address)], Some(NODE)).await, "").await;
    found.until_logged("its boot id is longer than any").await;
    // Its token was not asked for: it is told once.
    assert!(found.lookups().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_bridge_knows_what_was_discovered() {
    let address = free_address();
    let _machine = Machine::start(address, |_| {}).await;
    let mut found = discovering(waiting(&[(NODE, address)], Some(NODE)).await, "").await;
    found.ironic.first_heartbeat().await;
    // Ironic waits for nothing now, but may call the agent.
    found.ironic.look(|node| node.listed = Some(Vec::new()));
    found.bridge.kill();
    found.bridge = bridge(&found.directory.path().join("bridge.toml"));
    until("the bridge", || std::net::TcpStream::connect(found.status).is_ok()).await;
    let before = found.ironic.heartbeats();
    until("its heartbeat", || found.ironic.heartbeats() > before).await;
}
