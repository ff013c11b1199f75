//! `PATCH /v1/nodes/{node}`.

use serde_json::{Value, json};
use tacit_conductor::states::ProvisionState;
use tacit_conductor::store::StoreError;

use crate::site::Site;

fn put_into(site: &Site, state: ProvisionState, target: Option<ProvisionState>) {
    site.store
        .transact::<_, StoreError>(|tx| {
            let mut node = tx.node_by_ident("n1")?.unwrap();
            node.provision_state = state;
            node.target_provision_state = target;
            tx.save_node(&mut node)
        })
        .unwrap();
}

#[tokio::test]
async fn operations_change_the_node_and_keep_what_they_do_not_name() {
    let site = Site::new();
    site.node("n1").await;
    let patch = json!([
        {"op": "add", "path": "/instance_info/image_source", "value": "http://h/x.raw"},
        {"op": "add", "path": "/driver_info/redfish_username", "value": "root"},
        {"op": "add", "path": "/properties/root_device", "value": {"serial": "s"}},
        {"op": "replace", "path": "/name", "value": "n1b"},
        {"op": "add", "path": "/automated_clean", "value": "yes"},
    ]);
    let node = site.patch("/v1/nodes/n1", patch).await.ok();
    assert_eq!(node["name"], "n1b");
    assert_eq!(node["automated_clean"], true);
    let stored = site.store.node_by_ident("n1b").unwrap().unwrap();
    assert_eq!(stored.driver_info["redfish_password"], "secret", "a secret survives a patch beside it");
    assert_eq!(stored.properties["root_device"]["serial"], "s");
    let node = site.patch("/v1/nodes/n1b", json!([{"op": "remove", "path": "/name"}])).await.ok();
    assert_eq!(node["name"], Value::Null);
}

#[tokio::test]
async fn a_refused_patch_changes_nothing() {
    let site = Site::new();
    site.node("n1").await;
    let before = site.store.node_by_ident("n1").unwrap().unwrap();
    let good = json!({"op": "add", "path": "/extra/a", "value": 1});
    for (bad, status) in [
        (json!({"op": "replace", "path": "/uuid", "value": "x"}), 400),
        (json!({"op": "replace", "path": "/power_state", "value": "power on"}), 400),
        (json!({"op": "replace", "path": "/provision_state", "value": "active"}), 400),
        (json!({"op": "replace", "path": "/traits", "value": []}), 400),
        (json!({"op": "add", "path": "/nosuch", "value": 1}), 400),
        (json!({"op": "remove", "path": "/driver"}), 400),
        (json!({"op": "replace", "path": "/driver", "value": "zz"}), 400),
        (json!({"op": "replace", "path": "/network_interface", "value": "neutron"}), 400),
        (json!({"op": "replace", "path": "/name", "value": "bad name"}), 400),
        (json!({"op": "add", "path": "/extra/x/y", "value": 1}), 400),
        (json!({"op": "test", "path": "/name", "value": "n1"}), 400),
        (json!({"op": "replace", "path": "/protected", "value": true}), 409),
        (json!({"op": "add", "path": "/maintenance", "value": "maybe"}), 400),
        (json!({"op": "add", "path": "/network_data", "value": {"links": 1}}), 400),
    ] {
        let (got, text) = site.patch("/v1/nodes/n1", json!([good, bad])).await.fault();
        assert_eq!(got, status, "{bad}: {text}");
    }
    assert_eq!(site.patch("/v1/nodes/n1", json!({"name": "x"})).await.fault().0, 400);
    assert_eq!(site.patch("/v1/nodes/n1", json!([])).await.status, 200);
    assert_eq!(site.store.node_by_ident("n1").unwrap().unwrap(), before);
    assert_eq!(site.patch("/v1/nodes/none", json!([])).await.fault().0, 404);
}

#[tokio::test]
async fn another_driver_brings_other_interfaces_only_when_asked() {
    let site = Site::new();
    site.node("n1").await;
    let patch = json!([{"op": "replace", "path": "/driver", "value": "manual"}]);
    assert_eq!(
        site.patch("/v1/nodes/n1", patch.clone()).await.fault().0,
        400,
        "redfish power does not fit manual"
    );
    let node = site.patch("/v1/nodes/n1?reset_interfaces=true", patch).await.ok();
    assert_eq!((&node["driver"], &node["power_interface"]), (&json!("manual"), &json!("manual")));
    let other = json!([{"op": "add", "path": "/extra/a", "value": 1}]);
    assert_eq!(site.patch("/v1/nodes/n1?reset_interfaces=true", other).await.fault().0, 400);
}

#[tokio::test]
async fn work_under_way_blocks_patches() {
    use ProvisionState as S;
    let site = Site::new();
    site.node("n1").await;
    let patch = json!([{"op": "add", "path": "/extra/a", "value": 1}]);
    for (state, target, status) in [
        (S::Deploying, Some(S::Active), 409),
        (S::WaitCallback, Some(S::Active), 409),
        (S::CleanWait, Some(S::Available), 409),
        (S::Inspecting, Some(S::Manageable), 409),
        (S::DeployFailed, Some(S::Active), 200),
        (S::CleanFailed, Some(S::Available), 200),
        (S::Active, None, 200),
    ] {
        put_into(&site, state, target);
        assert_eq!(site.patch("/v1/nodes/n1", patch.clone()).await.status.as_u16(), status, "{state}");
    }
    let boot = json!([{"op": "add", "path": "/boot_interface", "value": "redfish-virtual-media"}]);
    assert_eq!(site.patch("/v1/nodes/n1", boot).await.status, 200, "the same value is no change");
}

#[tokio::test]
async fn an_instance_is_not_replaced_by_another() {
    let site = Site::new();
    site.node("n1").await;
    let set = |uuid: &str| json!([{"op": "add", "path": "/instance_uuid", "value": uuid}]);
    let (a, b) = ("11111111-2222-3333-4444-555555555555", "11111111-2222-3333-4444-666666666666");
    assert_eq!(site.patch("/v1/nodes/n1", set(a)).await.ok()["instance_uuid"], a);
    assert_eq!(site.patch("/v1/nodes/n1", set(a)).await.status, 200);
    assert_eq!(site.patch("/v1/nodes/n1", set(b)).await.fault().0, 409);
    site.node("n2").await;
    assert_eq!(site.patch("/v1/nodes/n2", set(a)).await.fault().0, 409);
    let remove = json!([{"op": "remove", "path": "/instance_uuid"}]);
    assert_eq!(site.patch("/v1/nodes/n1", remove).await.ok()["instance_uuid"], Value::Null);
}
