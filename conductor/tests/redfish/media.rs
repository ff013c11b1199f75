//! Virtual media: a slot seen empty, then seen filled.

use axum::http::Method;
use serde_json::{Value, json};
use tacit_conductor::bmc::{BmcError, BmcErrorKind};

use super::fake_bmc::{Etags, FakeBmc, Fault, Model, TASK, fault};
use super::fake_slot::SlotModel;

const URL: &str = "http://192.0.2.1:6386/media/4b1d/boot.iso";
const INSERT: &str = "/redfish/v1/Managers/1/VirtualMedia/Cd/Actions/VirtualMedia.InsertMedia";
const EJECT: &str = "/redfish/v1/Managers/1/VirtualMedia/Cd/Actions/VirtualMedia.EjectMedia";

fn cd() -> SlotModel {
    SlotModel { id: "Cd", media_types: vec!["CD", "DVD"], ..SlotModel::default() }
}

async fn with(slots: Vec<SlotModel>) -> FakeBmc {
    FakeBmc::start(Model { slots, ..Model::default() }).await
}

fn images(bmc: &FakeBmc) -> Vec<Option<String>> {
    bmc.model().slots.iter().map(|slot| slot.image.clone()).collect()
}

#[tokio::test]
async fn insert_and_eject() {
    let bmc = with(vec![cd()]).await;
    let client = bmc.client();
    client.insert_media(URL).await.expect("inserted");
    assert_eq!(bmc.requests(&Method::POST, INSERT)[0].body, json!({"Image": URL}));
    assert_eq!(images(&bmc), [Some(URL.to_owned())]);
    client.eject_media().await.expect("ejected");
    client.eject_media().await.expect("nothing to eject");
    assert_eq!(images(&bmc), [None]);
    assert_eq!(bmc.requests(&Method::POST, EJECT).len(), 1);
}

#[tokio::test]
async fn a_stale_medium_is_waited_out_before_the_next_goes_in() {
    let slot = SlotModel { image: Some(URL.into()), stale_reads: 2, ..cd() };
    let bmc = with(vec![slot]).await;
    bmc.client().insert_media(URL).await.expect("even with the same URL");
    assert_eq!(images(&bmc), [Some(URL.to_owned())]);
    assert_eq!(bmc.requests(&Method::POST, INSERT).len(), 1);
}

#[tokio::test]
async fn a_medium_that_stays_for_ever_is_an_error() {
    let bmc = with(vec![SlotModel {
        image: Some("http://192.0.2.9/old.iso".into()),
        stale_reads: u32::MAX,
        ..cd()
    }])
    .await;
    let error = bmc.impatient_client().insert_media(URL).await.expect_err("never empty");
    assert!(matches!(error.kind(), BmcErrorKind::Unmoved { .. }), "{error:?}");
    assert!(bmc.requests(&Method::POST, INSERT).is_empty());
}

#[tokio::test]
async fn insertion_outlives_500_then_503() {
    let faults = vec![(Method::POST, INSERT, [fault(500), fault(503)].into_iter().collect())];
    let bmc = FakeBmc::start(Model { faults, ..Model::default() }).await;
    bmc.client().insert_media(URL).await.expect("the third try works");
    assert_eq!(images(&bmc), [Some(URL.to_owned())]);
}

#[tokio::test]
async fn insertion_gives_up_after_three_failures() {
    let faults = vec![(Method::POST, INSERT, vec![fault(502); 9].into())];
    let bmc = FakeBmc::start(Model { faults, ..Model::default() }).await;
    let error = bmc.client().insert_media(URL).await.expect_err("never works");
    assert_eq!((error.status(), error.retryable()), (Some(502), true));
    assert_eq!(bmc.requests(&Method::POST, INSERT).len(), 3);
}

#[tokio::test]
async fn missing_parameters_are_added_one_by_one() {
    let requires = vec!["TransferProtocolType", "UserName", "TransferMethod"];
    let bmc = with(vec![SlotModel { requires, ..cd() }]).await;
    bmc.client().insert_media(URL).await.expect("the fourth body works");
    let last = bmc.requests(&Method::POST, INSERT).pop().expect("sent").body;
    let wanted = json!({"Image": URL, "TransferProtocolType": "HTTP", "UserName": "none", "Password": "none",
        "TransferMethod": "Stream"});
    assert_eq!(last, wanted);
}

#[tokio::test]
async fn an_unknown_wish_ends_the_attempts() {
    let bmc = with(vec![SlotModel { requires: vec!["Oem"], ..cd() }]).await;
    let error = bmc.client().insert_media(URL).await.expect_err("cannot be met");
    assert_eq!(error.status(), Some(400));
    assert_eq!(bmc.requests(&Method::POST, INSERT).len(), 1);
}

#[tokio::test]
async fn a_patch_only_slot() {
    let slot = |id| SlotModel { id, media_types: vec!["CD"], patch_only: true, ..SlotModel::default() };
    let model = Model {
        manufacturer: "Lenovo",
        slots: vec![slot("RDOC1"), slot("Remote1"), slot("EXT1")],
        etags: Etags::Demanded,
        ..Model::default()
    };
    let bmc = FakeBmc::start(model).await;
    let client = bmc.client();
    client.insert_media(URL).await.expect("by PATCH");
    assert_eq!(images(&bmc), [None, None, Some(URL.to_owned())]);
    let patch = bmc.requests(&Method::PATCH, "/redfish/v1/Managers/1/VirtualMedia/EXT1").remove(0);
    assert_eq!(patch.body, json!({"Image": URL, "Inserted": true, "WriteProtected": true}));
    assert_eq!(patch.headers["if-match"], "\"v1\"");
    client.eject_media().await.expect("by PATCH");
    assert_eq!(images(&bmc), [None, None, None]);
}

#[tokio::test]
async fn dvd_only_and_slots_of_the_remote_console() {
    let dvd = |id, refuses| SlotModel { id, media_types: vec!["DVD"], refuses, ..SlotModel::default() };
    let stick = SlotModel { id: "usb", media_types: vec!["USBStick"], ..SlotModel::default() };
    let bmc = with(vec![stick, dvd("vkvm", Some(405)), dvd("vkvm2", Some(400)), dvd("vmedia", None)]).await;
    bmc.client().insert_media(URL).await.expect("the last slot takes it");
    assert_eq!(images(&bmc), [None, None, None, Some(URL.to_owned())]);
}

#[tokio::test]
async fn no_slot_at_all() {
    let bmc = with(Vec::new()).await;
    let error = bmc.client().insert_media(URL).await.expect_err("no slot");
    assert!(matches!(error.kind(), BmcErrorKind::NotSupported(_)), "{error:?}");
    bmc.client().eject_media().await.expect("nothing to eject");
}

#[tokio::test]
async fn eject_with_an_empty_object() {
    let bmc = with(vec![SlotModel { image: Some(URL.into()), eject_wants_object: true, ..cd() }]).await;
    bmc.client().eject_media().await.expect("ejected");
    assert_eq!(images(&bmc), [None]);
}

#[tokio::test]
async fn accepted_and_never_inserted() {
    let bmc = with(vec![SlotModel { ignores: true, ..cd() }]).await;
    let error = bmc.impatient_client().insert_media(URL).await.expect_err("never appears");
    assert!(matches!(error.kind(), BmcErrorKind::Unmoved { .. }), "{error:?}");
    assert!(error.to_string().contains("can it reach the URL"), "{error}");
}

async fn inserted_by_task(task: Vec<(u16, Value)>) -> (FakeBmc, Result<(), BmcError>) {
    let accepted = Fault {
        headers: vec![("location", TASK.to_owned())],
        effective: true,
        body: json!({}),
        ..fault(202)
    };
    let faults = vec![(Method::POST, INSERT, vec![accepted].into())];
    let bmc = FakeBmc::start(Model { faults, task: task.into(), ..Model::default() }).await;
    let result = bmc.client().insert_media(URL).await;
    (bmc, result)
}

#[tokio::test]
async fn a_task_is_followed_to_its_end() {
    let running = || (202, json!({"TaskState": "Running"}));
    let (bmc, result) =
        inserted_by_task(vec![running(), running(), (200, json!({"TaskState": "Completed"}))]).await;
    result.expect("inserted");
    assert_eq!(bmc.requests(&Method::GET, TASK).len(), 3);
    // Some BMCs delete a monitor as soon as its result was shown.
    let (_, result) = inserted_by_task(vec![running()]).await;
    result.expect("the slot shows the medium");
    let messages = json!([{"MessageId": "IDRAC.2.8.RAC0720", "Message": "cannot reach the share"}]);
    let (_, result) =
        inserted_by_task(vec![(200, json!({"TaskState": "Exception", "Messages": messages}))]).await;
    let error = result.expect_err("failed");
    assert!(matches!(error.kind(), BmcErrorKind::TaskFailed { .. }), "{error:?}");
    assert!(error.to_string().contains("cannot reach the share"), "{error}");
}
