//! Creating, showing and deleting nodes and their small parts.

use serde_json::{Value, json};
use tacit_conductor::states::ProvisionState;
use tacit_conductor::store::{NewHistory, Severity, StoreError};

use crate::site::Site;

#[tokio::test]
async fn a_new_node_has_ironics_defaults_and_no_secret_leaves() {
    let site = Site::new();
    let answer = site
        .post(
            "/v1/nodes",
            json!({"name": "n1", "driver": "redfish", "driver_info": {"redfish_password": "hunter2"}}),
        )
        .await;
    assert_eq!(answer.status, 201);
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    let node = answer.ok();
    assert_eq!(location, format!("http://127.0.0.1:6385/v1/nodes/{}", node["uuid"].as_str().unwrap()));
    assert_eq!(node["driver_info"]["redfish_password"], "******");
    for (field, value) in [
        ("provision_state", json!("enroll")),
        ("boot_interface", json!("redfish-virtual-media")),
        ("deploy_interface", json!("direct")),
        ("network_interface", json!("noop")),
        ("clean_step", json!({})),
        ("conductor_group", json!("")),
        ("power_state", Value::Null),
        ("traits", json!([])),
    ] {
        assert_eq!(node[field], value, "{field}");
    }
    for path in ["/v1/nodes/n1", "/v1/nodes/detail", "/v1/nodes?fields=driver_info"] {
        assert!(!site.get(path).await.ok().to_string().contains("hunter2"), "{path}");
    }
    let stored = site.store.node_by_ident("n1").unwrap().unwrap();
    assert_eq!(stored.driver_info["redfish_password"], "hunter2");
}

#[tokio::test]
async fn what_cannot_be_a_node_is_refused() {
    let site = Site::new();
    site.node("n1").await;
    for (body, status) in [
        (json!({"name": "n2"}), 400),
        (json!({"driver": "coffee"}), 400),
        (json!({"driver": "manual", "colour": 1}), 400),
        (json!({"driver": "manual", "power_state": "power on"}), 400),
        (json!({"driver": "manual", "name": "a b"}), 400),
        (json!({"driver": "manual", "name": "detail"}), 400),
        (json!({"driver": "manual", "name": "11111111-2222-3333-4444-555555555555"}), 400),
        (json!({"driver": "manual", "name": "n1"}), 409),
        (json!({"driver": "manual", "boot_interface": "ipxe"}), 400),
        (json!({"driver": "manual", "properties": {"memory_mb": -1}}), 400),
        (json!({"driver": "manual", "properties": {"memory_mb": "lots"}}), 400),
        (json!({"driver": "manual", "network_data": {"links": []}}), 400),
        (json!({"driver": "manual", "extra": 5}), 400),
        (json!({"driver": "manual", "uuid": "x"}), 400),
    ] {
        let (got, text) = site.post("/v1/nodes", body.clone()).await.fault();
        assert_eq!(got, status, "{body}: {text}");
    }
    assert_eq!(site.store.nodes().unwrap().len(), 1);
    let fine = json!({"driver": "manual", "name": "ns~n.1_x", "properties": {"memory_mb": "512"}, "boot_interface": null});
    assert_eq!(site.post("/v1/nodes", fine).await.status, 201);
    assert_eq!(site.get("/v1/nodes/ns~n.1_x").await.ok()["boot_interface"], "manual");
}

#[tokio::test]
async fn deleting_asks_for_the_right_state() {
    let site = Site::new();
    let set = |state: ProvisionState, maintenance: bool| {
        site.store
            .transact::<_, StoreError>(|tx| {
                let mut node = tx.node_by_ident("n1")?.unwrap();
                (node.provision_state, node.maintenance) = (state, maintenance);
                tx.save_node(&mut node)
            })
            .unwrap();
    };
    for (state, maintenance, status) in [
        (ProvisionState::Active, false, 409),
        (ProvisionState::CleanFailed, false, 409),
        (ProvisionState::Active, true, 204),
        (ProvisionState::Available, false, 204),
    ] {
        site.node("n1").await;
        set(state, maintenance);
        let answer = site.delete("/v1/nodes/n1").await;
        assert_eq!(answer.status.as_u16(), status, "{state}");
        assert_eq!(answer.length == 0, status == 204);
        set_gone(&site).await;
    }
}

async fn set_gone(site: &Site) {
    if let Some(node) = site.store.node_by_ident("n1").unwrap() {
        site.store.transact(|tx| tx.delete_node(node.uuid)).unwrap();
    }
}

#[tokio::test]
async fn maintenance_validation_inventory_and_history() {
    let site = Site::new();
    site.node("n1").await;
    let answer = site.put("/v1/nodes/n1/maintenance", json!({"reason": "disk"})).await;
    assert_eq!((answer.status.as_u16(), answer.length), (202, 0));
    let node = site.get("/v1/nodes/n1").await.ok();
    assert_eq!((&node["maintenance"], &node["maintenance_reason"]), (&json!(true), &json!("disk")));
    assert_eq!(site.delete("/v1/nodes/n1/maintenance").await.status, 202);
    assert_eq!(site.get("/v1/nodes/n1").await.ok()["maintenance_reason"], Value::Null);

    let wanted = json!({
        "boot": {"result": true},
        "deploy": {"result": false, "reason": "instance_info.image_source is missing"},
        "power": {"result": true},
    });
    assert_eq!(site.get("/v1/nodes/n1/validate").await.ok(), wanted);
    assert_eq!(site.get("/v1/nodes/validate?node=n1").await.ok(), wanted);

    assert_eq!(site.get("/v1/nodes/n1/inventory").await.fault().0, 404);
    let uuid = site.store.node_by_ident("n1").unwrap().unwrap().uuid;
    let long = "x".repeat(300);
    site.store
        .transact::<_, StoreError>(|tx| {
            let entry =
                NewHistory { severity: Severity::Error, event_type: "verify".into(), event: long.clone() };
            tx.add_history(uuid, entry)?;
            tx.set_inventory(uuid, &json!({"hostname": "h"}), &json!({"macs": []}))
        })
        .unwrap();
    let inventory = json!({"inventory": {"hostname": "h"}, "plugin_data": {"macs": []}});
    assert_eq!(site.get("/v1/nodes/n1/inventory").await.ok(), inventory);
    let short = site.get("/v1/nodes/n1/history").await.ok();
    assert_eq!(short["history"][0]["event"].as_str().unwrap().len(), 255);
    assert!(short["history"][0].get("event_type").is_none());
    let detail = site.get("/v1/nodes/n1/history?detail=true").await.ok()["history"][0].clone();
    assert_eq!(
        (&detail["event"], &detail["severity"], &detail["state"]),
        (&json!(long), &json!("ERROR"), &json!("enroll"))
    );
    let one = format!("/v1/nodes/n1/history/{}", detail["uuid"].as_str().unwrap());
    assert_eq!(site.get(&one).await.ok(), detail);
}

#[tokio::test]
async fn traits_come_and_go() {
    let site = Site::new();
    site.node("n1").await;
    assert_eq!(
        site.put("/v1/nodes/n1/traits", json!({"traits": ["CUSTOM_B", "HW_CPU_X86_VMX"]})).await.status,
        204
    );
    assert_eq!(site.put("/v1/nodes/n1/traits/CUSTOM_A", Value::Null).await.status, 204);
    assert_eq!(site.put("/v1/nodes/n1/traits/bad", Value::Null).await.fault().0, 400);
    assert_eq!(site.delete("/v1/nodes/n1/traits/CUSTOM_Z").await.fault().0, 404);
    assert_eq!(site.delete("/v1/nodes/n1/traits/HW_CPU_X86_VMX").await.status, 204);
    assert_eq!(site.get("/v1/nodes/n1/traits").await.ok(), json!({"traits": ["CUSTOM_A", "CUSTOM_B"]}));
}

#[tokio::test]
async fn drivers_and_conductors_are_named() {
    let site = Site::new();
    let drivers = site.get("/v1/drivers").await.ok();
    let names: Vec<_> = drivers["drivers"].as_array().unwrap().iter().map(|d| d["name"].clone()).collect();
    assert_eq!(names, ["redfish", "manual"]);
    let redfish = site.get("/v1/drivers/redfish").await.ok();
    assert_eq!(redfish["default_boot_interface"], "redfish-virtual-media");
    assert_eq!(redfish["enabled_deploy_interfaces"], json!(["direct"]));
    let properties = site.get("/v1/drivers/redfish/properties").await.ok();
    assert!(properties["redfish_address"].is_string());
    let conductors = site.get("/v1/conductors").await.ok();
    let host = conductors["conductors"][0]["hostname"].as_str().unwrap().to_owned();
    assert_eq!(site.get(&format!("/v1/conductors/{host}")).await.ok()["alive"], true);
    assert_eq!(site.get("/v1/conductors/nobody").await.fault().0, 404);
}
