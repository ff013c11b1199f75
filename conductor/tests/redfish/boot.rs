//! Boot override: where it is set, in which form, under which entity tag.

use axum::http::Method;
use serde_json::{Map, Value, json};
use tacit_conductor::bmc::{BmcErrorKind, BootTarget};

use super::fake_bmc::{Etags, FakeBmc, Fault, Model, SETTINGS, SYSTEM, message};

fn if_match(bmc: &FakeBmc) -> Vec<Option<String>> {
    let patches = bmc.requests(&Method::PATCH, SYSTEM);
    patches.iter().map(|p| p.headers.get("if-match").map(|v| v.to_str().expect("text").to_owned())).collect()
}

async fn set_with(etags: Etags) -> Vec<Option<String>> {
    let bmc = FakeBmc::start(Model { etags, ..Model::default() }).await;
    bmc.client().set_boot(BootTarget::Cd, true).await.expect("set");
    assert_eq!(bmc.model().boot["BootSourceOverrideTarget"], "Cd");
    if_match(&bmc)
}

#[tokio::test]
async fn entity_tags() {
    let tag = |text: &str| Some(text.to_owned());
    assert_eq!(set_with(Etags::None).await, [None]);
    assert_eq!(set_with(Etags::WeakButStrongWanted).await, [tag("W/\"v1\""), tag("\"v1\"")]);
    assert_eq!(set_with(Etags::RefusesAll).await, [tag("\"v1\""), None]);
    assert_eq!(set_with(Etags::Demanded).await, [tag("\"v1\"")]);
    assert_eq!(set_with(Etags::DemandedUnseen).await, [None, tag("*")]);
}

#[tokio::test]
async fn the_whole_dance_ends_without_a_tag() {
    let refused = || message(412, "PreconditionFailed", "no");
    let faults = vec![(Method::PATCH, SYSTEM, [refused(), refused()].into_iter().collect())];
    let bmc = FakeBmc::start(Model { etags: Etags::WeakButStrongWanted, faults, ..Model::default() }).await;
    bmc.client().set_boot(BootTarget::Cd, true).await.expect("set without a tag");
    assert_eq!(if_match(&bmc), [Some("W/\"v1\"".to_owned()), Some("\"v1\"".to_owned()), None]);
}

#[tokio::test]
async fn a_412_without_a_tag_is_final() {
    let faults = vec![(Method::PATCH, SYSTEM, vec![message(412, "PreconditionFailed", "no"); 5].into())];
    let bmc = FakeBmc::start(Model { faults, ..Model::default() }).await;
    let error = bmc.client().set_boot(BootTarget::Cd, true).await.expect_err("final");
    assert_eq!(error.status(), Some(412));
    assert_eq!(if_match(&bmc), [None]);
}

fn bodies(bmc: &FakeBmc) -> Vec<Value> {
    bmc.requests(&Method::PATCH, SYSTEM).into_iter().map(|patch| patch.body).collect()
}

#[tokio::test]
async fn the_least_is_sent_and_once_only_where_it_is_new() {
    let bmc = FakeBmc::start(Model::default()).await;
    let client = bmc.client();
    client.set_boot(BootTarget::Cd, true).await.expect("set");
    client.set_boot(BootTarget::Hdd, true).await.expect("set");
    client.set_boot(BootTarget::Pxe, true).await.expect("set");
    let first = json!({"Boot": {"BootSourceOverrideTarget": "Cd", "BootSourceOverrideEnabled": "Once"}});
    let then = ["Hdd", "Pxe"].map(|target| json!({"Boot": {"BootSourceOverrideTarget": target}}));
    assert_eq!(bodies(&bmc)[..1], [first]);
    assert_eq!(bodies(&bmc)[1..], then);
}

#[tokio::test]
async fn a_refused_form_is_followed_by_the_full_one() {
    let refused = || message(400, "PropertyMissing", "BootSourceOverrideMode");
    let faults = vec![(Method::PATCH, SYSTEM, [refused()].into_iter().collect())];
    let bmc = FakeBmc::start(Model { faults, ..Model::default() }).await;
    bmc.client().set_boot(BootTarget::Cd, true).await.expect("the full body works");
    let full = json!({"Boot": {"BootSourceOverrideTarget": "Cd", "BootSourceOverrideEnabled": "Once",
        "BootSourceOverrideMode": "UEFI"}});
    assert_eq!(bodies(&bmc).last(), Some(&full));
}

#[tokio::test]
async fn ami_and_supermicro_get_everything_at_once() {
    for (manufacturer, target) in [("American Megatrends International", "Cd"), ("Supermicro", "UsbCd")] {
        let bmc = FakeBmc::start(Model { manufacturer, ..Model::default() }).await;
        let offered = json!(["Cd", "UsbCd", "Hdd"]);
        bmc.model().boot.insert("BootSourceOverrideTarget@Redfish.AllowableValues".into(), offered);
        bmc.client().set_boot(BootTarget::Cd, true).await.expect("set");
        let full = json!({"Boot": {"BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": "Once",
            "BootSourceOverrideMode": "UEFI"}});
        assert_eq!(bodies(&bmc), [full]);
    }
}

#[tokio::test]
async fn continuous_becomes_once_where_it_is_not_offered_or_refused() {
    let bmc = FakeBmc::start(Model::default()).await;
    bmc.model()
        .boot
        .insert("BootSourceOverrideEnabled@Redfish.AllowableValues".into(), json!(["Once", "Disabled"]));
    bmc.client().set_boot(BootTarget::Hdd, false).await.expect("set");
    assert_eq!(bmc.model().boot["BootSourceOverrideEnabled"], "Once");

    let refused = || message(400, "PropertyValueNotInList", "Continuous");
    let faults = vec![(Method::PATCH, SYSTEM, [refused(), refused()].into_iter().collect())];
    let bmc = FakeBmc::start(Model { faults, ..Model::default() }).await;
    bmc.client().set_boot(BootTarget::Hdd, false).await.expect("set");
    assert_eq!(bmc.model().boot["BootSourceOverrideEnabled"], "Once");
}

#[tokio::test]
async fn the_self_test_is_waited_out() {
    let busy = || message(400, "UnableToModifyDuringSystemPOST", "in POST");
    let faults = vec![(Method::PATCH, SYSTEM, vec![busy(); 5].into())];
    let bmc = FakeBmc::start(Model { faults, ..Model::default() }).await;
    bmc.client().set_boot(BootTarget::Cd, true).await.expect("the sixth try works");
    assert_eq!(bodies(&bmc).len(), 6);
}

#[tokio::test]
async fn settings_for_the_future_are_set_where_they_are_shown() {
    let settings = json!({"BootSourceOverrideTarget": "None", "BootSourceOverrideEnabled": "Disabled"});
    let settings = settings.as_object().cloned();
    let bmc = FakeBmc::start(Model { settings, ..Model::default() }).await;
    bmc.client().set_boot(BootTarget::Cd, true).await.expect("set");
    let sent = bmc.requests(&Method::PATCH, SETTINGS).remove(0).body;
    assert_eq!(
        sent,
        json!({"Boot": {"BootSourceOverrideTarget": "Cd", "BootSourceOverrideEnabled": "Once"}})
    );
    assert!(bodies(&bmc).is_empty());
}

#[tokio::test]
async fn the_bmc_points_to_the_future_state() {
    let elsewhere: Fault = message(400, "OperationSupportedInFutureStateURI", "not here");
    let faults = vec![(Method::PATCH, SYSTEM, [elsewhere].into_iter().collect())];
    let bmc = FakeBmc::start(Model { faults, settings: Some(Map::new()), ..Model::default() }).await;
    bmc.client().set_boot(BootTarget::Cd, true).await.expect("set");
    assert_eq!(bmc.requests(&Method::PATCH, SETTINGS).len(), 1);
}

#[tokio::test]
async fn a_device_that_is_not_offered() {
    let bmc = FakeBmc::start(Model::default()).await;
    bmc.model().boot.insert("BootSourceOverrideTarget@Redfish.AllowableValues".into(), json!(["Pxe"]));
    let error = bmc.client().set_boot(BootTarget::Cd, true).await.expect_err("not offered");
    assert!(matches!(error.kind(), BmcErrorKind::NotSupported(_)), "{error:?}");
    assert!(error.to_string().contains("Pxe"), "{error}");
}

#[tokio::test]
async fn clearing() {
    let bmc = FakeBmc::start(Model::default()).await;
    let client = bmc.client();
    client.clear_boot().await.expect("is clear");
    assert!(bodies(&bmc).is_empty());
    client.set_boot(BootTarget::Hdd, false).await.expect("set");
    client.clear_boot().await.expect("cleared");
    let boot = bmc.model().boot.clone();
    assert_eq!(boot["BootSourceOverrideTarget"], "None");
    assert_eq!(boot["BootSourceOverrideEnabled"], "Disabled");
}
