//! Version negotiation, paths, request ids, error forms.

use axum::body::Body;
use serde_json::{Value, json};

use crate::site::Site;

#[tokio::test]
async fn a_version_out_of_range_is_406_and_the_headers_say_which_would_do() {
    let site = Site::new();
    for version in ["1.0", "1.116", "2.0"] {
        let answer = site.ask("GET", "/v1/nodes", Some(version), Body::empty()).await;
        let (status, text) = answer.fault();
        assert_eq!(status, 406);
        assert!(text.contains("[1.1, 1.115]"), "{text}");
        assert_eq!(answer.headers["x-openstack-ironic-api-minimum-version"], "1.1");
        assert_eq!(answer.headers["x-openstack-ironic-api-maximum-version"], "1.115");
        assert!(!answer.headers.contains_key("x-openstack-ironic-api-version"));
    }
    let answer = site.ask("GET", "/v1/nodes", Some("rubbish"), Body::empty()).await;
    assert_eq!(answer.fault().0, 406);
    assert!(!answer.headers.contains_key("x-openstack-ironic-api-maximum-version"));
}

#[tokio::test]
async fn every_answer_has_its_version_and_one_id_under_two_names() {
    let site = Site::new();
    for (path, version, in_force) in
        [("/", None, "1.1"), ("/v1", Some("latest"), "1.115"), ("/v1/no", Some("1.7"), "1.7")]
    {
        let answer = site.ask("GET", path, version, Body::empty()).await;
        assert_eq!(answer.headers["x-openstack-ironic-api-version"], in_force, "{path}");
        let id = answer.headers["x-openstack-request-id"].to_str().unwrap();
        assert!(id.starts_with("req-") && id.len() == 40, "{id}");
        assert_eq!(answer.headers["openstack-request-id"], id);
    }
}

#[tokio::test]
async fn the_version_in_the_path_and_a_slash_at_its_end_are_optional() {
    let site = Site::new();
    site.node("n1").await;
    for path in ["/v1/nodes/n1", "/v1/nodes/n1/", "/nodes/n1", "/nodes/n1/"] {
        assert_eq!(site.get(path).await.ok()["name"], "n1", "{path}");
    }
    assert_eq!(site.get("/v1/nosuch").await.fault().0, 404);
    assert_eq!(site.ask("HEAD", "/v1", None, Body::empty()).await.status, 200);
}

#[tokio::test]
async fn fields_newer_than_the_request_are_hidden_or_refused() {
    let site = Site::new();
    site.node("n1").await;
    let old = |path: &'static str, version: &'static str| site.ask("GET", path, Some(version), Body::empty());
    let node = old("/v1/nodes/n1", "1.40").await.ok();
    assert!(
        node.get("owner").is_none()
            && node.get("volume").is_some()
            && node.get("driver_internal_info").is_some()
    );
    assert_eq!(old("/v1/nodes?fields=owner", "1.40").await.fault().0, 406);
    assert_eq!(old("/v1/nodes?fields=uuid", "1.7").await.fault().0, 406);
    assert_eq!(old("/v1/nodes/n1", "1.4").await.fault().0, 404);
    assert_eq!(old("/v1/nodes/n1/history", "1.77").await.fault().0, 404);
    let create = json!({"driver": "manual", "owner": "me"}).to_string();
    assert_eq!(site.ask("POST", "/v1/nodes", Some("1.40"), Body::from(create)).await.fault().0, 406);
    let patch = json!([{"op": "add", "path": "/owner", "value": "me"}]).to_string();
    assert_eq!(site.ask("PATCH", "/v1/nodes/n1", Some("1.40"), Body::from(patch)).await.fault().0, 406);
}

#[tokio::test]
async fn without_a_version_a_new_node_is_available_and_shown_as_null() {
    let site = Site::new();
    let body = json!({"driver": "manual"}).to_string();
    let node = site.ask("POST", "/v1/nodes", None, Body::from(body)).await.ok();
    assert_eq!(node["provision_state"], Value::Null);
    let path = format!("/v1/nodes/{}", node["uuid"].as_str().unwrap());
    assert_eq!(site.get(&path).await.ok()["provision_state"], "available");
}

#[tokio::test]
async fn bodies_have_limits() {
    let site = Site::new();
    let post = |text: String| site.ask("POST", "/v1/nodes", Some("1.115"), Body::from(text));
    assert_eq!(post("{".into()).await.fault().0, 400);
    assert_eq!(post("[]".into()).await.fault().0, 400);
    assert_eq!(post("[".repeat(10_000)).await.fault().0, 400);
    let deep = |levels: usize| {
        format!("{{\"driver\": \"manual\", \"extra\": {}1{}}}", "{\"a\":".repeat(levels), "}".repeat(levels))
    };
    assert_eq!(post(deep(25)).await.fault().0, 400);
    assert_eq!(post(deep(24)).await.status, 201);
    let large = json!({"driver": "manual", "extra": {"a": "x".repeat(1024 * 1024)}}).to_string();
    assert_eq!(post(large).await.fault().0, 413);
    site.node("n1").await;
    let drive = json!({"target": "active", "configdrive": "A".repeat(2 * 1024 * 1024)});
    // Too much elsewhere, but here it is the state that is wrong.
    assert_eq!(site.put("/v1/nodes/n1/states/provision", drive).await.fault().0, 400);
    assert_eq!(site.engine.requests.lock().unwrap().len(), 1);
}
