//! Logging in, retries, discovery, and what must never get out.

use axum::http::Method;
use serde_json::{Value, json};
use tacit_conductor::bmc::{Bmc, BmcErrorKind, PowerState, Timing};

use super::fake_bmc::{FakeBmc, Fault, Model, PASSWORD, SESSIONS, SYSTEM, fault};

fn faults(method: Method, path: &'static str, list: impl IntoIterator<Item = Fault>) -> Model {
    Model { faults: vec![(method, path, list.into_iter().collect())], ..Model::default() }
}

#[tokio::test]
async fn identity_survives_bad_fields() {
    let bmc = FakeBmc::start(Model::default()).await;
    let identity = bmc.client().verify().await.expect("reachable");
    assert_eq!(identity.uuid.as_deref(), Some("4c4c4544-0000-2010-8020-80c04f202020"));
    assert_eq!((identity.serial, identity.sku), (None, None));
    assert_eq!(identity.model.as_deref(), Some("X1"));
    assert_eq!(identity.mac_addresses, ["52:54:00:aa:bb:cc"]);
    assert_eq!(identity.power, Some(PowerState::Off));
    let request = &bmc.requests(&Method::GET, SYSTEM)[0];
    for (name, value) in [("odata-version", "4.0"), ("accept-encoding", "identity"), ("connection", "close")]
    {
        assert_eq!(request.headers.get(name).expect(name), value);
    }
}

#[tokio::test]
async fn reads_outlive_500_then_503() {
    let busy = Fault { headers: vec![("retry-after", "0".into())], ..fault(503) };
    let bmc = FakeBmc::start(faults(Method::GET, SYSTEM, [fault(500), busy])).await;
    assert_eq!(bmc.client().power_state().await.expect("the third try works"), Some(PowerState::Off));
}

#[tokio::test]
async fn reads_give_up_in_the_end_and_name_the_bmc() {
    let bmc = FakeBmc::start(faults(Method::GET, SYSTEM, vec![fault(500); 20])).await;
    let client = bmc.client_with(json!({"redfish_system_id": SYSTEM}));
    let error = client.power_state().await.expect_err("never works");
    assert_eq!(bmc.requests(&Method::GET, SYSTEM).len(), 10);
    assert!(error.retryable());
    assert_eq!(error.status(), Some(500));
    let text = error.to_string();
    for part in [bmc.address.to_string().as_str(), "read power state", SYSTEM, "fault 500"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_truncated_answer_is_read_again() {
    let cut = Fault { body: Value::String("{\"Id\": ".into()), ..fault(200) };
    let bmc = FakeBmc::start(faults(Method::GET, SYSTEM, [cut])).await;
    let client = bmc.client_with(json!({"redfish_system_id": "1"}));
    assert_eq!(client.power_state().await.expect("the second answer is whole"), Some(PowerState::Off));
    assert_eq!(bmc.requests(&Method::GET, SYSTEM).len(), 2);
}

#[tokio::test]
async fn an_expired_session_is_replaced_once() {
    let bmc = FakeBmc::start(Model { auth: true, ..Model::default() }).await;
    let client = bmc.client();
    client.verify().await.expect("logs in");
    bmc.model().valid_tokens.clear();
    client.power_state().await.expect("logs in again");
    assert_eq!(bmc.requests(&Method::POST, SESSIONS).len(), 2);
    client.close().await;
    assert_eq!(bmc.model().closed_sessions, 1);
}

#[tokio::test]
async fn clones_and_concurrent_calls_share_one_session_which_the_last_drop_closes() {
    let bmc = FakeBmc::start(Model { auth: true, ..Model::default() }).await;
    let client = bmc.client();
    let copy = client.clone();
    let (a, b) = tokio::join!(client.power_state(), copy.power_state());
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(bmc.requests(&Method::POST, SESSIONS).len(), 1);
    drop(client);
    drop(copy);
    while bmc.model().closed_sessions == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn auto_falls_back_to_basic_where_there_are_no_sessions() {
    let bmc = FakeBmc::start(Model { auth: true, sessions: false, ..Model::default() }).await;
    bmc.client().verify().await.expect("basic works");
    let error = bmc
        .client_with(json!({"redfish_auth_type": "session"}))
        .verify()
        .await
        .expect_err("session was asked for");
    assert!(error.to_string().contains("log in"), "{error}");
    assert!(matches!(error.kind(), BmcErrorKind::NoSession { status: 404, .. }), "{error:?}");
    assert!(!error.retryable());
}

#[tokio::test]
async fn a_booting_bmc_is_not_taken_for_one_without_sessions() {
    let mut model = faults(Method::POST, SESSIONS, [fault(500), fault(503)]);
    model.auth = true;
    let bmc = FakeBmc::start(model).await;
    bmc.client().verify().await.expect("the third login works");
}

#[tokio::test]
async fn a_wrong_password_is_final_and_never_shown() {
    let bmc = FakeBmc::start(Model { auth: true, ..Model::default() }).await;
    for auth_type in ["session", "auto", "basic"] {
        let info = json!({"redfish_password": "hunter2-wrong", "redfish_auth_type": auth_type});
        let client = bmc.client_with(info);
        let error = client.verify().await.expect_err("refused");
        assert!(matches!(error.kind(), BmcErrorKind::Denied { status: 401, .. }), "{error:?}");
        assert!(!error.retryable());
        for text in [error.to_string(), format!("{error:?}"), format!("{client:?}")] {
            assert!(!text.contains("hunter2") && !text.contains(PASSWORD), "{text}");
        }
    }
}

#[tokio::test]
async fn another_origin_gets_nothing() {
    let other = FakeBmc::start(Model::default()).await;
    let link = format!("http://{}/redfish/v1/Systems", other.address);
    let bmc = FakeBmc::start(Model { auth: true, systems_link: Some(link), ..Model::default() }).await;
    let error = bmc.client().verify().await.expect_err("refused");
    assert!(matches!(error.kind(), BmcErrorKind::ForeignOrigin(_)), "{error:?}");
    let place = format!("http://{}{SYSTEM}", other.address);
    let redirect = Fault { headers: vec![("location", place)], ..fault(307) };
    let bmc = FakeBmc::start(faults(Method::GET, SYSTEM, [redirect])).await;
    let error = bmc.client().power_state().await.expect_err("refused");
    assert!(matches!(error.kind(), BmcErrorKind::ForeignOrigin(_)), "{error:?}");
    assert!(other.model().seen.is_empty());
}

#[tokio::test]
async fn the_system_is_found_or_must_be_named() {
    let accelerator = ("/redfish/v1/Systems/HGX_Baseboard_0", json!({"SystemType": "Physical"}));
    let bmc = FakeBmc::start(Model { extra_systems: vec![accelerator], ..Model::default() }).await;
    bmc.client().verify().await.expect("only one of the two is a host");

    let second =
        ("/redfish/v1/Systems/2", json!({"Boot": {"BootSourceOverrideTarget": "None"}, "PowerState": "On"}));
    let bmc = FakeBmc::start(Model { extra_systems: vec![second], ..Model::default() }).await;
    let error = bmc.client().verify().await.expect_err("two hosts");
    assert!(error.to_string().contains("redfish_system_id"), "{error}");
    assert!(error.to_string().contains("/redfish/v1/Systems/2"), "{error}");
    for id in ["2", "/redfish/v1/Systems/2"] {
        let state = bmc.client_with(json!({"redfish_system_id": id})).power_state().await.expect("named");
        assert_eq!(state, Some(PowerState::On));
    }
}

#[tokio::test]
async fn nobody_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let info = json!({"redfish_address": format!("http://{address}")});
    let timing = Timing::default().divided_by(1000);
    let client = Bmc::with_timing("redfish", info.as_object().expect("an object"), timing).expect("valid");
    let error = client.power_on().await.expect_err("nobody there");
    assert!(matches!(error.kind(), BmcErrorKind::Unreachable { connected: false, .. }), "{error:?}");
    assert!(error.retryable());
    assert!(std::error::Error::source(&error).is_some());
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn manual_does_everything_by_doing_nothing() {
    let client = Bmc::for_node("manual", &serde_json::Map::new()).expect("needs no driver_info");
    assert!(client.is_manual() && !client.can_power());
    assert_eq!(client.power_state().await.expect("no error"), None);
    client.power_on().await.expect("at once");
    client.insert_media("http://192.0.2.1/a.iso").await.expect("at once");
    let error = Bmc::for_node("ipmi", &serde_json::Map::new()).expect_err("unknown");
    assert!(error.to_string().contains("ipmi"), "{error}");
}

#[tokio::test]
async fn a_missing_right_leaves_no_session_behind() {
    let mut model = faults(Method::GET, SYSTEM, vec![fault(403); 2]);
    model.auth = true;
    let bmc = FakeBmc::start(model).await;
    let client = bmc.client_with(json!({"redfish_system_id": "1"}));
    let error = client.verify().await.expect_err("no right to read");
    assert!(matches!(error.kind(), BmcErrorKind::Denied { status: 403, .. }), "{error:?}");
    client.close().await;
    let opened = bmc.requests(&Method::POST, SESSIONS).len();
    assert_eq!((opened, bmc.model().closed_sessions), (2, 2));
}
