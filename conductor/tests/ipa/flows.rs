use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use tacit_conductor::api::{ApiState, router};
use tacit_conductor::port::Port;
use tacit_conductor::states::ProvisionState as S;
use tower::ServiceExt;

use crate::fake_ipa::{FakeIpa, TOKEN};
use crate::site::Site;

/// Names of the commands that IPA began.
fn begun(ipa: &FakeIpa) -> Vec<String> {
    ipa.state().begun.iter().map(|body| body["name"].as_str().unwrap().to_owned()).collect()
}

/// What the API says of the node, or to a change of it.
async fn ask(site: &Site, method: &str, body: &Value) -> String {
    let state = ApiState { store: site.store().clone(), engine: site.engine().clone(), public_url: None };
    let request =
        Request::builder().method(method).uri(format!("/v1/nodes/{}", site.node)).header("host", "h");
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let request = request.header("x-openstack-ironic-api-version", "1.115").body(body).unwrap();
    let answer = router(state).oneshot(request).await.unwrap();
    String::from_utf8(to_bytes(answer.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn whole_life_of_a_node_with_ipa() {
    let ipa = FakeIpa::start().await;
    let mac = "52:54:00:00:00:07";
    ipa.state().interfaces = vec![json!({"name": "eno1", "mac_address": mac, "ipv4_address": "127.0.0.1"})];
    let site = Site::new(&ipa).await;
    site.verb(json!({"target": "inspect"})).await.unwrap();
    site.settles_in(S::Manageable).await;
    assert!(site.store().transact(|tx| tx.port_by_ident(mac)).unwrap().is_some());

    site.verb(json!({"target": "provide"})).await.unwrap();
    let node = site.settles_in(S::Available).await;
    // The port that inspection made is what the machine is recognised by from here on.
    assert_eq!(
        begun(&ipa)[1..],
        ["poll.get_hardware_info", "clean.get_clean_steps", "clean.execute_clean_step"]
    );
    let sent = ipa.state().begun.last().unwrap()["params"].clone();
    assert_eq!(sent["clean_version"], json!({"generic_hardware_manager": "1.2"}));
    assert_eq!(sent["step"]["step"], "erase_devices_metadata");
    assert_eq!(sent["node"]["driver_internal_info"]["agent_erase_devices_iterations"], 1);
    let history = site.history();
    for line in [
        "erase_devices_metadata: done by IPA's word; nothing was proven",
        "wait_for_agent: IPA 13.0.0 answered at https://127.0.0.1:",
        "it reports no progress, resumes and cancels nothing, proves nothing",
    ] {
        assert!(history.contains(line), "{line:?} is not in\n{history}");
    }
    assert!(site.store().transact(|tx| tx.erasures(site.node)).unwrap().is_empty(), "certified by nobody");
    assert_eq!(node.driver_internal_info["agent_dialect"], "ipa");
    let record = ask(&site, "GET", &Value::Null).await;
    assert!(record.contains("\"agent_token\":\"******\"") && !record.contains(TOKEN), "{record}");
    assert!(record.contains("\"agent_limits\":\"it reports no progress"), "{record}");

    assert!(history.contains("insert_medium: no driver_info.deploy_iso"), "{history}");
    site.change(|node| {
        node.driver_info.insert("deploy_iso".into(), "http://h/ipa.iso".into());
    });
    let mut ids = Vec::new();
    for verb in ["active", "rebuild"] {
        let before = begun(&ipa).len();
        site.image("http://127.0.0.1:9/disk.raw");
        site.verb(json!({"target": verb, "configdrive": "H4sIAAAA"})).await.unwrap();
        site.settles_in(S::Active).await;
        let work = [
            "poll.get_hardware_info",
            "deploy.execute_deploy_step",
            "image.install_bootloader",
            "standby.sync",
        ];
        assert_eq!(begun(&ipa)[before..], work);
        let args = ipa.state().begun[before + 1]["params"]["step"]["args"].clone();
        assert_eq!(args["image_info"]["urls"], json!(["http://127.0.0.1:9/disk.raw"]));
        assert_eq!(args["configdrive"], "H4sIAAAA");
        ids.push(args["image_info"]["id"].clone());
    }
    assert_ne!(ids[0], ids[1], "IPA writes no image twice under one id");
    assert!(
        site.history().contains("image (x) written to device /dev/sda root_uuid=0x00000000, by IPA's word")
    );
    assert!(site.history().contains("insert_medium: driver_info.deploy_iso inserted"));
    let sent = serde_json::to_string(&ipa.state().begun).unwrap();
    assert!(!sent.contains(TOKEN) && !sent.contains("CERTIFICATE"), "the node's own secrets were sent");
}

#[tokio::test]
async fn what_ipa_cannot_do_is_refused_before_anything_happens() {
    let ipa = FakeIpa::start().await;
    let site = Site::new(&ipa).await;
    site.change(|node| node.provision_state = S::Available);
    site.image("file:///disk.raw");
    let error = site.verb(json!({"target": "active"})).await.unwrap_err().to_string();
    assert!(
        error.starts_with("instance_info.image_source ") && error.contains("lent no connection"),
        "{error}"
    );
    for (key, wrong) in
        [("agent_dialect", "other"), ("agent_token", "short"), ("agent_certificate", "no PEM")]
    {
        let change = json!([{"op": "add", "path": format!("/driver_info/{key}"), "value": wrong}]);
        let said = ask(&site, "PATCH", &change).await;
        assert!(said.contains(&format!("driver_info.{key} ")) && !said.contains("short\""), "{said}");
    }
    assert_eq!(site.store().node(site.node).unwrap().unwrap().driver_info, ipa.driver_info());
    site.image("http://h/disk.raw");
    site.change(|node| {
        node.driver_info.shift_remove("agent_token");
    });
    let error = site.verb(json!({"target": "active"})).await.unwrap_err().to_string();
    assert!(error.starts_with("driver_info.agent_token is missing"), "{error}");
    let node = site.store().node(site.node).unwrap().unwrap();
    let results = site.engine().validate(&node);
    for (name, result) in results {
        assert_eq!(result.result, !matches!(name, "boot" | "deploy" | "inspect"), "{name}");
    }
    site.change(|node| {
        node.provision_state = S::Manageable;
        node.driver_info = ipa.driver_info();
    });
    let step = json!({"interface": "deploy", "step": "erase_devices", "args": {"dry_run": true}});
    site.verb(json!({"target": "clean", "clean_steps": [step]})).await.unwrap();
    let node = site.settles_in(S::CleanFailed).await;
    assert!(node.last_error.unwrap().contains("IPA makes no plans"));
    assert!(begun(&ipa).is_empty(), "{:?}", begun(&ipa));
}

#[tokio::test]
async fn a_conductor_killed_in_the_middle_of_a_step_goes_on_with_it() {
    let ipa = FakeIpa::start().await;
    ipa.state().by_hand = true;
    let mut site = Site::new(&ipa).await;
    site.verb(json!({"target": "provide"})).await.unwrap();
    ipa.begun(2).await;
    for _ in 0..3 {
        site.crash().await;
    }
    ipa.succeed();
    site.settles_in(S::Available).await;
    assert_eq!(begun(&ipa), ["clean.get_clean_steps", "clean.execute_clean_step"]);
}

#[tokio::test]
async fn an_ipa_restarted_in_the_middle_of_a_step_fails_it() {
    for conductor_is_away in [false, true] {
        let ipa = FakeIpa::start().await;
        ipa.state().by_hand = true;
        let mut site = Site::new(&ipa).await;
        site.verb(json!({"target": "provide"})).await.unwrap();
        ipa.begun(2).await;
        ipa.restart();
        if conductor_is_away {
            site.crash().await;
        }
        let node = site.settles_in(S::CleanFailed).await;
        let error = node.last_error.unwrap();
        assert!(error.contains("erase_devices_metadata") && error.contains("restarted"), "{error}");
        assert_eq!(begun(&ipa).len(), 2, "the step was repeated");
        assert!(node.maintenance);
    }
}

#[tokio::test]
async fn failures_say_what_ipa_says() {
    let ipa = FakeIpa::start().await;
    ipa.state().by_hand = true;
    let site = Site::new(&ipa).await;
    let error = json!({"type": "CleaningError", "code": 500, "message": "Clean step failed", "details": "disk is gone"});
    let nothing = Value::Null;
    for (status, error, words) in [
        ("FAILED", error, "CleaningError: disk is gone; what it left on the disks is not known"),
        ("CLEAN_VERSION_MISMATCH", nothing.clone(), "hardware managers are not those any more"),
        ("SUCCEEDED", nothing, "IPA answers for another step"),
    ] {
        site.change(|node| {
            node.provision_state = S::Manageable;
            node.maintenance = false;
        });
        ipa.state().begun.clear();
        site.verb(json!({"target": "provide"})).await.unwrap();
        ipa.begun(2).await;
        let other =
            json!({"clean_step": {"step": "erase_pstore", "interface": "deploy"}, "clean_result": null});
        ipa.end(status, other, error);
        let node = site.settles_in(S::CleanFailed).await;
        let error = node.last_error.unwrap();
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_machine_that_is_another_one_is_left_alone() {
    let ipa = FakeIpa::start().await;
    ipa.state().interfaces = vec![json!({"name": "eno1", "mac_address": "52:54:00:00:00:01"})];
    let site = Site::new(&ipa).await;
    let port = Port::new(site.node, "52:54:00:00:00:02".into());
    site.store().transact(|tx| tx.create_port(&port)).unwrap();
    site.verb(json!({"target": "provide"})).await.unwrap();
    let error = site.settles_in(S::CleanFailed).await.last_error.unwrap();
    assert!(error.contains("00:00:01") && error.contains("00:00:02"), "{error}");
    assert_eq!(begun(&ipa), ["poll.get_hardware_info"]);
}

#[tokio::test]
async fn an_ipa_with_work_of_somebody_elses_is_not_disturbed() {
    let ipa = FakeIpa::start().await;
    ipa.state().by_hand = true;
    ipa.state().commands.push(json!({"id": "foreign", "command_name": "prepare_image",
        "command_status": "RUNNING", "command_error": null, "command_result": null}));
    let site = Site::new(&ipa).await;
    site.verb(json!({"target": "provide"})).await.unwrap();
    let error = site.settles_in(S::CleanFailed).await.last_error.unwrap();
    assert!(error.contains("it works on prepare_image, which this flow did not send"), "{error}");
    assert!(begun(&ipa).is_empty());
}
