//! `PUT .../states/*`: verbs, power, locks.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tacit_conductor::states::ProvisionState;
use tacit_conductor::store::StoreError;

use crate::site::{Answer, Site};

async fn provision(site: &Site, body: Value) -> Answer {
    site.put("/v1/nodes/n1/states/provision", body).await
}

#[tokio::test]
async fn an_accepted_verb_is_202_empty_with_a_location_and_the_state_has_changed() {
    let site = Site::new();
    site.node("n1").await;
    let answer = provision(&site, json!({"target": "manage"})).await;
    assert_eq!((answer.status.as_u16(), answer.length), (202, 0));
    assert!(!answer.headers.contains_key("content-type"));
    assert_eq!(answer.headers["location"], "http://127.0.0.1:6385/v1/nodes/n1/states");
    let states = site.get("/v1/nodes/n1/states").await.ok();
    assert_eq!(
        (&states["provision_state"], &states["target_provision_state"]),
        (&json!("verifying"), &json!("manageable"))
    );
    assert!(states["provision_updated_at"].as_str().unwrap().ends_with("+00:00"));
}

#[tokio::test]
async fn bodies_of_verbs_are_checked_before_anything_happens() {
    let site = Site::new();
    site.node("n1").await;
    let step = json!({"interface": "deploy", "step": "erase_devices_metadata"});
    for body in [
        json!({}),
        json!({"target": "dance"}),
        json!({"target": "service", "service_steps": [step]}),
        json!({"target": "manage", "colour": 1}),
        json!({"target": "clean"}),
        json!({"target": "clean", "clean_steps": []}),
        json!({"target": "clean", "clean_steps": [{"step": "x"}]}),
        json!({"target": "clean", "clean_steps": [{"interface": "coffee", "step": "x"}]}),
        json!({"target": "clean", "clean_steps": [{"interface": "deploy", "step": "x", "more": 1}]}),
        json!({"target": "active", "clean_steps": [step]}),
        json!({"target": "manage", "configdrive": "QUJD"}),
        json!({"target": "active", "configdrive": "not base64 !"}),
        json!({"target": "active", "configdrive": 5}),
        json!({"target": "active", "configdrive": {"bogus": 1}}),
        json!({"target": "active", "disable_ramdisk": true}),
        json!({"target": "active", "rescue_password": "x"}),
        json!({"target": "clean", "runbook": "x"}),
    ] {
        assert_eq!(provision(&site, body.clone()).await.fault().0, 400, "{body}");
    }
    assert!(site.engine.requests.lock().unwrap().is_empty());
    assert_eq!(provision(&site, json!({"target": "provide"})).await.fault().0, 400, "wrong state");
}

#[tokio::test]
async fn what_comes_with_a_verb_reaches_the_engine() {
    let site = Site::new();
    site.node("n1").await;
    let clean =
        json!({"target": "clean", "clean_steps": [{"interface": "deploy", "step": "x", "args": {"a": 1}}]});
    provision(&site, clean).await;
    provision(&site, json!({"target": "active", "configdrive": "http://h/drive"})).await;
    provision(&site, json!({"target": "active", "configdrive": ""})).await;
    let requests = site.engine.requests.lock().unwrap();
    assert_eq!(requests[0].clean_steps.as_ref().unwrap()[0]["args"]["a"], 1);
    assert_eq!(requests[1].configdrive.as_deref(), Some("http://h/drive"));
    assert_eq!(requests[2].configdrive, None);
}

#[tokio::test]
async fn a_config_drive_as_an_object_becomes_an_image() {
    use std::io::Read;

    let site = Site::new();
    let uuid = site.node("n1").await["uuid"].as_str().unwrap().to_owned();
    let drive = json!({
        "meta_data": {"hostname": "web-1"}, "user_data": "#cloud-config\nusers: []\n", "network_data": {"links": []},
    });
    for _ in 0..2 {
        provision(&site, json!({"target": "active", "configdrive": drive})).await;
    }
    let requests = site.engine.requests.lock().unwrap();
    let text = requests[0].configdrive.clone().unwrap();
    assert_eq!(Some(&text), requests[1].configdrive.as_ref(), "same content, same bytes");
    let gzip = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap();
    let mut image = Vec::new();
    flate2::read::GzDecoder::new(gzip.as_slice()).read_to_end(&mut image).unwrap();
    let disk = fatfs::FileSystem::new(std::io::Cursor::new(image), fatfs::FsOptions::new()).unwrap();
    assert_eq!(disk.volume_label().to_lowercase(), "config-2");
    let latest = disk.root_dir().open_dir("openstack/latest").unwrap();
    let read = |name: &str| {
        let mut text = String::new();
        latest.open_file(name).unwrap().read_to_string(&mut text).unwrap();
        text
    };
    let meta: Value = serde_json::from_str(&read("meta_data.json")).unwrap();
    assert_eq!((&meta["hostname"], &meta["uuid"]), (&json!("web-1"), &json!(uuid)));
    assert_eq!(read("user_data"), "#cloud-config\nusers: []\n");
    assert_eq!(read("network_data.json"), r#"{"links":[]}"#);
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_waited_for_a_little_and_then_409() {
    let site = Site::new();
    site.node("n1").await;
    site.engine.locked.store(true, Ordering::SeqCst);
    for body in [json!({"target": "manage"}), json!({"target": "dance"})] {
        let (status, text) = provision(&site, body).await.fault();
        assert_eq!(status, 409);
        assert!(text.contains("is locked by host"), "{text}");
    }
    let patch = json!([{"op": "add", "path": "/extra/a", "value": 1}]);
    assert_eq!(site.patch("/v1/nodes/n1", patch.clone()).await.fault().0, 409);
    assert_eq!(site.put("/v1/nodes/n1/maintenance", json!({})).await.fault().0, 409);
    assert_eq!(site.delete("/v1/nodes/n1").await.fault().0, 409);
    // Reads do not ask for the lock.
    for path in ["/v1/nodes/n1", "/v1/nodes/n1/validate", "/v1/nodes/n1/states", "/v1/nodes/n1/history"] {
        assert_eq!(site.get(path).await.status, 200, "{path}");
    }
    site.engine.locked.store(false, Ordering::SeqCst);
    site.engine.locked_looks.store(2, Ordering::SeqCst);
    assert_eq!(site.patch("/v1/nodes/n1", patch).await.status, 200, "free at the third look");
}

#[tokio::test]
async fn power_targets() {
    let site = Site::new();
    site.node("n1").await;
    let power = |body: Value| site.put("/v1/nodes/n1/states/power", body);
    let answer = power(json!({"target": "power on"})).await;
    assert_eq!((answer.status.as_u16(), answer.length), (202, 0));
    assert_eq!(site.get("/v1/nodes/n1").await.ok()["power_state"], "power on");
    assert_eq!(power(json!({"target": "soft power off", "timeout": 5})).await.status, 202);
    assert_eq!(site.get("/v1/nodes/n1").await.ok()["power_state"], "power off");
    for body in [
        json!({"target": "on"}),
        json!({}),
        json!({"target": "power on", "timeout": 0}),
        json!({"target": "power on", "timeout": "soon"}),
        json!({"target": "power on", "colour": 1}),
        json!({"target": "soft rebooting"}),
    ] {
        assert_eq!(power(body.clone()).await.fault().0, 400, "{body}");
    }
    let old = json!({"target": "soft power off"}).to_string();
    assert_eq!(site.ask("PUT", "/v1/nodes/n1/states/power", Some("1.10"), old.into()).await.fault().0, 406);
    let no_off = json!([{"op": "add", "path": "/disable_power_off", "value": true}]);
    site.patch("/v1/nodes/n1", no_off).await.ok();
    assert_eq!(power(json!({"target": "power off"})).await.fault().0, 409);
    site.store
        .transact::<_, StoreError>(|tx| {
            let mut node = tx.node_by_ident("n1")?.unwrap();
            node.provision_state = ProvisionState::CleanWait;
            tx.save_node(&mut node)
        })
        .unwrap();
    assert_eq!(power(json!({"target": "power on"})).await.fault().0, 400);
}

#[tokio::test]
async fn events_are_pages() {
    let site = Site::new();
    site.node("n1").await;
    let page = site.get("/v1/nodes/n1/events?after=0&wait=0").await.ok();
    assert_eq!((&page["last"], &page["events"][0]["provision_state"]), (&json!(1), &json!("enroll")));
    assert_eq!(site.get("/v1/nodes/n1/events?after=1&wait=0").await.ok()["events"], json!([]));
    assert_eq!(site.get("/v1/nodes/n1/events?after=x").await.fault().0, 400);
    assert_eq!(site.get("/v1/nodes/none/events").await.fault().0, 404);
}
