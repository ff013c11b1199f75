//! Ironic sees the bridge alone, and the node sees nobody.

use serde_json::json;

use crate::images::{IMAGE_SIZE, Images};
use crate::ironic::call;
use crate::machine::{MAC, Machine};
use crate::site::{Mode, NODE, Site, bridge, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_written_over_lent_connections() {
    let mut site = Site::start(Mode::Proxy, "wait call-back", None).await;
    let images = Images::start().await;
    site.ironic.first_heartbeat().await;
    let url = site.ironic.look(|node| node.agent_url.clone().unwrap());
    assert_eq!(url, format!("https://{}/agents/{NODE}", site.proxy));
    let params = site.agent().step("deploy", images.step());
    let ironic = &site.ironic;
    assert!(ironic.commands().await.is_empty());
    let started = ironic.command("deploy.execute_deploy_step", params.clone(), false).await;
    assert_eq!(started["command_status"], "RUNNING", "{started}");
    // Before Ironic hears of it: an older list of the agent's is none from then on.
    assert_eq!(site.session()["last"]["id"], started["id"]);
    until("the image's first request", || images.requests() > 0).await;
    // One at a time, as with IPA.
    for (name, params) in [("standby.sync", json!({})), ("deploy.execute_deploy_step", params.clone())] {
        let body = json!({"name": name, "params": params});
        let (status, busy) = ironic.call(&ironic.token(), false, Some(body)).await.unwrap();
        assert_eq!(status, 409, "{busy}");
        assert!(busy["faultstring"].as_str().unwrap().contains("Agent is busy"), "{busy}");
    }
    // What runs goes on.
    assert_eq!(site.session()["images"].as_array().map(Vec::len), Some(1));
    images.go_on();
    let ended = ironic.ended().await;
    assert_eq!(ended["command_status"], "SUCCEEDED", "{ended}");
    // What Ironic gets back is what it sent.
    assert_eq!(ended["command_result"]["deploy_step"], images.step());
    let disk = std::fs::read(site.agent().disk()).unwrap();
    assert!(disk[1 << 20..IMAGE_SIZE] == images.image[1 << 20..]);
    assert_eq!(disk[510..512], [0x55, 0xAA]);
    assert!(site.counts("image_commands_total{transport=\"lent\"} 1").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_nobody_gets_through() {
    let site = Site::start(Mode::Proxy, "clean wait", None).await;
    site.ironic.first_heartbeat().await;
    let (url, ca) =
        site.ironic.look(|node| (node.agent_url.clone().unwrap(), node.verify_ca.clone().unwrap()));
    let token = site.ironic.token();
    let nobody = url.replace(NODE, "00000000-0000-4000-8000-000000000000");
    let nonsense = url.replace(NODE, "..%2f..");
    let command = || Some(json!({"name": "standby.power_off", "params": {}}));
    for (url, token, body) in [
        (&url, "", None),
        (&url, &token[1..], None),
        (&url, &*format!("{token}x"), command()),
        (&nobody, &*token, None),
        (&nobody, "", command()),
        (&nonsense, &*token, None),
    ] {
        let (status, answer) = call(url, Some(&ca), token, false, body).await.unwrap();
        let expected = json!({"faultcode": "Client", "faultstring": "401 Unauthorized: Token invalid."});
        assert_eq!((status, answer), (401, expected), "{url}");
    }
    assert_eq!(call(&url, Some(&ca), &token, false, None).await.unwrap().0, 200);
    site.until_counted("proxy_requests_total{status=\"401\"} 6").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_command_never_reaches_the_agent() {
    let site = Site::start(Mode::Proxy, "clean wait", None).await;
    site.ironic.first_heartbeat().await;
    let ironic = &site.ironic;
    for body in [json!(1), json!([]), json!({"name": "standby.sync"}), json!({"name": 1, "params": {}})] {
        let (status, answer) = ironic.call(&ironic.token(), false, Some(body)).await.unwrap();
        assert!(status == 400 && answer["faultstring"].is_string(), "{answer}");
    }
    let (status, _) = ironic
        .call(&ironic.token(), false, Some(json!({"name": "deploy.nothing", "params": {}})))
        .await
        .unwrap();
    assert_eq!(status, 400);
    assert!(ironic.commands().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_bridge_goes_on_where_it_was() {
    let mut site = Site::start(Mode::Proxy, "wait call-back", None).await;
    let images = Images::start().await;
    site.ironic.first_heartbeat().await;
    let params = site.agent().step("deploy", images.step());
    site.ironic.command("deploy.execute_deploy_step", params, false).await;
    until("the image's first request", || images.requests() > 0).await;
    site.restart_bridge();
    images.go_on();
    let ended = loop {
        site.ironic.next_heartbeat().await;
        let last = site.ironic.commands().await.pop().unwrap();
        if last["command_status"] != "RUNNING" {
            break last;
        }
    };
    assert_eq!(ended["command_status"], "SUCCEEDED", "{ended}");
    assert!(images.requests() > 1, "the image went on over the new bridge's connections");
    // The token was on disk: nobody could have asked for it again.
    assert_eq!(site.ironic.look(|node| (node.lookups, node.refused)), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_begins_knows_its_tokens_before_anybody_can_call() {
    let mut site = Site::start(Mode::Proxy, "wait call-back", None).await;
    site.ironic.first_heartbeat().await;
    site.restart_bridge();
    until("the proxy", || std::net::TcpStream::connect(site.proxy).is_ok()).await;
    assert!(site.ironic.commands().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn ironic_does_not_notice_that_the_agent_was_out_of_reach() {
    let mut site = Site::start(Mode::Proxy, "wait call-back", None).await;
    site.ironic.first_heartbeat().await;
    let steps = site.ironic.command("deploy.get_deploy_steps", json!({"node": {}, "ports": []}), true).await;
    assert_eq!(steps["command_status"], "SUCCEEDED");
    site.agent().stop();
    let (url, ca) = site.ironic.look(|node| (node.agent_url.clone().unwrap(), node.verify_ca.clone()));
    let token = site.ironic.token();
    let asked = tokio::spawn(async move { call(&url, ca.as_deref(), &token, false, None).await });
    site.until_counted("nodes{phase=\"searching\"} 1").await;
    site.agent().resume();
    let (status, answer) = asked.await.unwrap().unwrap();
    assert_eq!((status, &answer["commands"][0]["id"]), (200, &steps["id"]), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ironic_does_not_notice_that_a_node_gets_another_leader() {
    for name in [format!("uuid = '{NODE}'"), format!("macs = ['{MAC}']")] {
        let mut site = Site::without_agent(Mode::Proxy, "clean wait").await;
        let _machine = Machine::start(site.agent_address(), |_| {}).await;
        let text = std::fs::read_to_string(&site.config).unwrap();
        std::fs::write(&site.config, text.replace(&format!("uuid = '{NODE}'"), &name)).unwrap();
        site.restart_bridge();
        site.ironic.first_heartbeat().await;
        site.bridge.kill();
        // The leader before, of this bridge or another one.
        let nodes = std::fs::read_dir(site.directory.path().join("state/nodes")).unwrap();
        let nodes = nodes.map(|entry| entry.unwrap().path());
        let leases = nodes.filter(|path| path.extension().is_some_and(|name| name == "lock"));
        let leases: Vec<_> = leases.map(|path| std::fs::File::open(path).unwrap()).collect();
        assert!(!leases.is_empty() && leases.iter().all(|lease| lease.try_lock().is_ok()));
        site.bridge = bridge(&site.config);
        let waits = "another bridge leads this node";
        until("the next leader", || site.bridge.log().contains(waits)).await;
        until("the proxy", || std::net::TcpStream::connect(site.proxy).is_ok()).await;
        drop(leases);
        // Ironic's attempts follow each other without a pause.
        assert!(site.ironic.commands().await.is_empty());
        let (url, ca) = site.ironic.look(|node| (node.agent_url.clone().unwrap(), node.verify_ca.clone()));
        assert_eq!(call(&url, ca.as_deref(), "x", false, None).await.unwrap().0, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_it_ends() {
    let site = Site::start(Mode::Proxy, "clean wait", None).await;
    site.ironic.first_heartbeat().await;
    let health = reqwest::get(format!("http://{}/health", site.status)).await.unwrap();
    let health: serde_json::Value = serde_json::from_str(&health.text().await.unwrap()).unwrap();
    assert_eq!(
        (health["status"].as_str(), health["nodes"]["driving"].as_u64()),
        (Some("ok"), Some(1)),
        "{health}"
    );
    assert!(!site.bridge.log().contains(&site.ironic.token()));
    let Site { bridge, .. } = site;
    assert!(bridge.terminate().success());
}
