//! Power, media, boot device, authentication and TLS, as a node's flow uses them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use serde_json::{Map, Value, json};
use tacit_conductor::bmc::{Bmc, BmcErrorKind, BootTarget, PowerState};

use super::process::{Emulator, OTHER_SYSTEM, Options, PASSWORD, SYSTEM};

fn bmc(info: &Map<String, Value>) -> Bmc {
    Bmc::for_node("redfish", info).expect("a valid driver_info")
}

/// The system as the emulator shows it, by another client than ours.
/// (A `reqwest` client wants a TLS configuration even where it only speaks HTTP.)
async fn raw(emulator: &Emulator, path: &str) -> Value {
    let address = emulator.driver_info(json!({}))["redfish_address"].as_str().expect("text").to_owned();
    let client =
        reqwest::Client::builder().no_proxy().use_preconfigured_tls(no_tls()).build().expect("a client");
    let url = format!("{address}/redfish/v1/Systems/{SYSTEM}{path}");
    let answer = client.get(url).send().await.expect("an answer").error_for_status().expect("a success");
    answer.json().await.expect("JSON")
}

fn no_tls() -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider's versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

/// A server of one medium that counts its readers.
async fn media_server() -> (String, Arc<AtomicUsize>) {
    let reads = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&reads);
    let image = async move || {
        counter.fetch_add(1, Ordering::SeqCst);
        vec![0_u8; 64 << 10]
    };
    let router = Router::new().route("/boot.iso", get(image));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), reads)
}

#[tokio::test]
async fn power_moves_and_is_seen_to_move() {
    let emulator = Emulator::start(Options::default());
    let bmc = bmc(&emulator.driver_info(json!({})));
    let identity = bmc.verify().await.expect("reachable");
    assert_eq!(identity.uuid.as_deref(), Some(SYSTEM));
    assert_eq!(identity.mac_addresses, ["52:54:00:00:00:01"]);
    assert_eq!(identity.power, Some(PowerState::Off));
    bmc.power_on().await.expect("on");
    assert_eq!(raw(&emulator, "").await["PowerState"], "On");
    bmc.power_on().await.expect("is on");
    bmc.power_off().await.expect("off");
    assert_eq!(raw(&emulator, "").await["PowerState"], "Off");
}

#[tokio::test]
async fn soft_off_ends_off() {
    let emulator = Emulator::start(Options::default());
    let bmc = bmc(&emulator.driver_info(json!({})));
    bmc.power_on().await.expect("on");
    bmc.soft_off().await.expect("off");
    assert_eq!(bmc.power_state().await.expect("read"), Some(PowerState::Off));
}

#[tokio::test]
async fn a_medium_goes_in_is_replaced_and_comes_out() {
    let emulator = Emulator::start(Options::default());
    let bmc = bmc(&emulator.driver_info(json!({})));
    let (server, reads) = media_server().await;
    let url = format!("{server}/boot.iso");
    bmc.insert_media(&url).await.expect("inserted");
    let slot = raw(&emulator, "/VirtualMedia/Cd").await;
    assert_eq!((&slot["Inserted"], &slot["Image"]), (&json!(true), &json!(url)));
    // The same URL again: out and in, so it is read a second time.
    bmc.insert_media(&url).await.expect("inserted again");
    assert_eq!(reads.load(Ordering::SeqCst), 2);
    bmc.eject_media().await.expect("ejected");
    let slot = raw(&emulator, "/VirtualMedia/Cd").await;
    assert_eq!((&slot["Inserted"], &slot["Image"]), (&json!(false), &json!("")));
    bmc.eject_media().await.expect("nothing to eject");

    let error = bmc.insert_media(&format!("{server}/gone.iso")).await.expect_err("404 at the source");
    assert!(error.to_string().contains("404"), "{error}");
    assert!(error.to_string().contains("insert virtual media"), "{error}");
}

#[tokio::test]
async fn the_boot_device_is_chosen() {
    let emulator = Emulator::start(Options::default());
    let bmc = bmc(&emulator.driver_info(json!({})));
    for (target, name) in [(BootTarget::Cd, "Cd"), (BootTarget::Hdd, "Hdd")] {
        bmc.set_boot(target, true).await.expect("set");
        assert_eq!(raw(&emulator, "").await["Boot"]["BootSourceOverrideTarget"], name);
    }
    bmc.set_boot(BootTarget::Cd, false).await.expect("set");
    assert_eq!(raw(&emulator, "").await["Boot"]["BootSourceOverrideTarget"], "Cd");
}

#[tokio::test]
async fn https_pinned_with_basic_authentication() {
    let emulator = Emulator::start(Options { auth: true, tls: true, ..Options::default() });
    for auth_type in ["basic", "auto"] {
        let info = emulator.driver_info(json!({"redfish_auth_type": auth_type}));
        let identity = bmc(&info).verify().await.expect(auth_type);
        assert_eq!(identity.uuid.as_deref(), Some(SYSTEM));
    }
    for auth_type in ["basic", "auto", "session"] {
        let wrong = json!({"redfish_password": "not it", "redfish_auth_type": auth_type});
        let error = bmc(&emulator.driver_info(wrong)).verify().await.expect_err("a wrong password");
        assert!(matches!(error.kind(), BmcErrorKind::Denied { status: 401, .. }), "{auth_type}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("not it"));
    }
    let unpinned = emulator.driver_info(json!({"redfish_verify_ca": true}));
    let error = bmc(&unpinned).verify().await.expect_err("an unknown certificate");
    assert!(matches!(error.kind(), BmcErrorKind::Tls(_)), "{error:?}");
    assert!(!error.retryable());
    let unverified = emulator.driver_info(json!({"redfish_verify_ca": false}));
    bmc(&unverified).verify().await.expect("not verified at all");
    assert!(!format!("{:?}", bmc(&unverified)).contains(PASSWORD));
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_is_refused() {
    let pinned = Emulator::start(Options { tls: true, ..Options::default() });
    let other = Emulator::start(Options { tls: true, ..Options::default() });
    let info = other.driver_info(json!({"redfish_verify_ca": pinned.certificate()}));
    let error = bmc(&info).verify().await.expect_err("another key");
    assert!(matches!(error.kind(), BmcErrorKind::Tls(_)), "{error:?}");
}

#[tokio::test]
async fn one_of_two_systems_must_be_named() {
    let emulator = Emulator::start(Options { two_systems: true, ..Options::default() });
    let error = bmc(&emulator.driver_info(json!({}))).verify().await.expect_err("two systems");
    assert!(matches!(error.kind(), BmcErrorKind::NoSystem(_)), "{error:?}");
    for id in [OTHER_SYSTEM.to_owned(), format!("/redfish/v1/Systems/{OTHER_SYSTEM}")] {
        let info = emulator.driver_info(json!({"redfish_system_id": id}));
        assert_eq!(bmc(&info).power_state().await.expect("named"), Some(PowerState::On));
    }
    // By name the emulator redirects to the UUID, for POST as well.
    let by_name = bmc(&emulator.driver_info(json!({"redfish_system_id": "/redfish/v1/Systems/two"})));
    assert_eq!(by_name.power_state().await.expect("redirected"), Some(PowerState::On));
    let missing = bmc(&emulator.driver_info(json!({"redfish_system_id": "three"})));
    assert_eq!(missing.power_state().await.expect_err("no such system").status(), Some(404));
}
