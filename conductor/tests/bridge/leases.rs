//! Two bridges, one node.

use tacit_ports::free_address;

use crate::site::{Mode, Site, bridge, configuration, until};

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_the_other_takes_over_when_it_is_gone() {
    let mut site = Site::start(Mode::Relay, "clean wait", None).await;
    site.ironic.first_heartbeat().await;
    let (config, status) = (site.directory.path().join("second.toml"), free_address());
    let addresses = (free_address(), status, site.agent_address());
    configuration(&config, &site.directory.path().join("state"), site.ironic.address, addresses, Mode::Relay);
    let second = bridge(&config);
    until("the second bridge", || second.log().contains("another bridge leads this node")).await;
    site.bridge.kill();
    until("the second one's turn", || second.log().contains("Ironic leads the agent now")).await;
    let before = site.ironic.heartbeats();
    until("its heartbeat", || site.ironic.heartbeats() > before).await;
    assert_eq!(site.ironic.look(|node| (node.lookups, node.refused)), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_shares_nothing_gets_no_token_and_says_so() {
    for mode in [Mode::Proxy, Mode::Relay] {
        shares_nothing(mode).await;
    }
}

async fn shares_nothing(mode: Mode) {
    let site = Site::start(mode, "clean wait", None).await;
    site.ironic.first_heartbeat().await;
    let (config, status) = (site.directory.path().join("second.toml"), free_address());
    let state = site.directory.path().join("state of the second");
    // It has the same authority, or the agent would not speak to it.
    std::fs::create_dir_all(&state).unwrap();
    let mut copy = std::process::Command::new("cp");
    copy.arg("-a").arg(site.directory.path().join("state/pki")).arg(&state);
    assert!(copy.status().unwrap().success());
    let addresses = (free_address(), status, site.agent_address());
    configuration(&config, &state, site.ironic.address, addresses, mode);
    let second = bridge(&config);
    until("its complaint", || second.log().contains("told its token to somebody else")).await;
    let urls = site
        .ironic
        .look(|node| node.heartbeats.iter().map(|beat| beat["callback_url"].clone()).collect::<Vec<_>>());
    assert!(urls.iter().all(|url| url == &urls[0]));
    assert_eq!(site.ironic.look(|node| node.refused), 0);
    let page = reqwest::get(format!("http://{status}/metrics")).await.unwrap().text().await.unwrap();
    assert!(page.contains("tokens_missing_total{reason=\"told\"}"), "{page}");
}
