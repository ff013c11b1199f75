//! Collections: pages, order, fields, filters.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::site::Site;

fn names(answer: &Value) -> Vec<String> {
    answer["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn following_next_visits_every_node_once_in_order() {
    let site = Site::new();
    for name in ["d", "b", "e", "a", "c"] {
        site.node(name).await;
    }
    for (query, wanted) in [
        ("limit=2", "dbeac"),
        ("limit=5", "dbeac"),
        ("limit=2&sort_key=name", "abcde"),
        ("limit=3&sort_key=name&sort_dir=desc", "edcba"),
        ("limit=2&sort_dir=desc&fields=name", "caebd"),
        ("limit=1&driver=redfish&detail=true", "dbeac"),
    ] {
        let mut seen = Vec::new();
        let mut next = Some(format!("/v1/nodes?{query}"));
        while let Some(path) = next {
            let page = site.get(&path).await.ok();
            seen.extend(names(&page));
            next = page["next"]
                .as_str()
                .map(|url| url.strip_prefix("http://127.0.0.1:6385").unwrap().to_owned());
            if let Some(next) = &next {
                assert!(next.contains("limit=") && next.contains("marker="), "{next}");
                assert_eq!(query.contains("driver"), next.contains("driver=redfish"), "{next}");
            }
            assert!(seen.len() <= 5, "{query}: goes on for ever");
        }
        assert_eq!(seen.concat(), wanted, "{query}");
    }
}

#[tokio::test]
async fn the_short_list_and_chosen_fields() {
    let site = Site::new();
    site.node("n1").await;
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<HashSet<_>>();
    let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<HashSet<_>>();
    let list = site.get("/v1/nodes").await.ok();
    let short = ["uuid", "name", "instance_uuid", "maintenance", "power_state", "provision_state", "links"];
    assert_eq!(keys(&list["nodes"][0]), set(&short));
    assert!(list.get("next").is_none());
    let list = site.get("/v1/nodes?fields=NAME,uuid,name").await.ok();
    assert_eq!(keys(&list["nodes"][0]), set(&["uuid", "name", "links"]));
    let ports = site.get("/v1/ports").await.ok();
    assert_eq!(ports, json!({"ports": []}));
}

#[tokio::test]
async fn filters_select() {
    let site = Site::new();
    site.node("n1").await;
    let other = json!({
        "name": "n2", "driver": "manual", "resource_class": "big", "owner": "me", "maintenance": true,
        "description": "In Rack 7", "instance_uuid": "11111111-2222-3333-4444-555555555555",
    });
    site.post("/v1/nodes", other).await.ok();
    for (query, wanted) in [
        ("driver=manual", "n2"),
        ("driver=zz", ""),
        ("maintenance=true", "n2"),
        ("maintenance=No", "n1"),
        ("associated=1", "n2"),
        ("resource_class=big", "n2"),
        ("owner=me", "n2"),
        ("description_contains=rack", "n2"),
        ("provision_state=enroll", "n1n2"),
        ("provision_state=active", ""),
        ("instance_uuid=11111111-2222-3333-4444-555555555555", "n2"),
        ("driver=manual&maintenance=false", ""),
    ] {
        assert_eq!(names(&site.get(&format!("/v1/nodes?{query}")).await.ok()).concat(), wanted, "{query}");
    }
    for query in ["maintenance=maybe", "instance_uuid=n1", "provision_state=zz", "bogus=1", "sort_key=no"] {
        assert_eq!(site.get(&format!("/v1/nodes?{query}")).await.fault().0, 400, "{query}");
    }
}

#[tokio::test]
async fn ports_by_node_and_address() {
    let site = Site::new();
    for (name, mac) in [("n1", "52:54:00:AA:00:01"), ("n2", "52:54:00:AA:00:02")] {
        site.node(name).await;
        let port = site.post("/v1/ports", json!({"address": mac, "node_ident": name})).await.ok();
        assert_eq!(port["address"], mac.to_lowercase());
    }
    for path in [
        "/v1/ports?node=n2",
        "/v1/ports?address=52-54-00-aa-00-02",
        "/v1/nodes/n2/ports",
        "/v1/nodes/n2/ports/detail",
    ] {
        let ports = site.get(path).await.ok();
        assert_eq!(ports["ports"].as_array().unwrap().len(), 1, "{path}");
        assert_eq!(ports["ports"][0]["address"], "52:54:00:aa:00:02", "{path}");
    }
    // What Metalsmith asks a network service that is not there.
    assert_eq!(site.get("/v1/ports?binding%3Ahost_id=x").await.ok(), json!({"ports": []}));
    for (body, status) in [
        (json!({"address": "52:54:00:aa:00:01", "node_ident": "n1"}), 409),
        (json!({"address": "zz", "node_ident": "n1"}), 400),
        (json!({"address": "52:54:00:aa:00:03"}), 400),
        (json!({"address": "52:54:00:aa:00:03", "node_ident": "none"}), 400),
        (json!({"address": "52:54:00:aa:00:03", "node_ident": "n1", "colour": 1}), 400),
    ] {
        assert_eq!(site.post("/v1/ports", body.clone()).await.fault().0, status, "{body}");
    }
    let patch = json!([{"op": "replace", "path": "/pxe_enabled", "value": false}]);
    assert_eq!(site.patch("/v1/ports/52:54:00:aa:00:01", patch).await.ok()["pxe_enabled"], false);
    assert_eq!(site.delete("/v1/ports/52:54:00:aa:00:01").await.status, 204);
    assert_eq!(site.get("/v1/ports/52:54:00:aa:00:01").await.fault().0, 404);
}
