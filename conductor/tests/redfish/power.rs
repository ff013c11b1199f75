//! Power: done when the BMC reports it, by whichever reset type it takes.

use axum::http::Method;
use tacit_conductor::bmc::{BmcErrorKind, PowerState};

use super::fake_bmc::{FakeBmc, Fault, Model, RESET, SYSTEM, fault, message};

fn resets_answer(list: impl IntoIterator<Item = Fault>) -> Model {
    Model { faults: vec![(Method::POST, RESET, list.into_iter().collect())], ..Model::default() }
}

#[tokio::test]
async fn waits_until_the_state_moves() {
    let bmc =
        FakeBmc::start(Model { power_reads: 3, transitional: Some("PoweringOn"), ..Model::default() }).await;
    let client = bmc.client();
    client.power_on().await.expect("moves after three reads");
    assert_eq!(client.power_state().await.expect("read"), Some(PowerState::On));
    assert_eq!(bmc.resets(), ["On"]);
    // Nothing to do, nothing sent.
    client.power_on().await.expect("is on");
    assert_eq!(bmc.resets(), ["On"]);
}

#[tokio::test]
async fn a_transitional_state_is_not_known_and_is_waited_for() {
    let model = Model { pending: Some(("On", 2)), transitional: Some("PoweringOn"), ..Model::default() };
    let bmc = FakeBmc::start(model).await;
    let client = bmc.client();
    assert_eq!(client.power_state().await.expect("read"), None);
    client.power_on().await.expect("already on its way");
    assert!(bmc.resets().is_empty());
}

#[tokio::test]
async fn accepted_but_unmoved_names_the_bmc_and_the_state() {
    let bmc = FakeBmc::start(Model { power_stuck: true, ..Model::default() }).await;
    let error = bmc.impatient_client().power_on().await.expect_err("never moves");
    assert!(matches!(error.kind(), BmcErrorKind::Unmoved { .. }), "{error:?}");
    let text = error.to_string();
    for part in [bmc.address.to_string().as_str(), "power on", "power Off", "not power On"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn refused_as_already_on_is_success_after_a_look() {
    let already = Fault { effective: true, ..message(400, "NoOperation", "Host is powered on") };
    let bmc = FakeBmc::start(resets_answer([already])).await;
    bmc.client().power_on().await.expect("is on");
    assert_eq!(bmc.resets(), ["On"]);
}

#[tokio::test]
async fn an_error_that_worked_all_the_same_is_success() {
    let bmc = FakeBmc::start(resets_answer([Fault { effective: true, ..fault(500) }])).await;
    bmc.client().power_on().await.expect("is on");
    assert_eq!(bmc.resets(), ["On"]);
}

#[tokio::test]
async fn failures_and_conflicts_pass() {
    let conflict = message(409, "ActionParameterValueConflict", "shortly after power-off");
    let bmc = FakeBmc::start(resets_answer([fault(500), conflict.clone(), conflict, fault(503)])).await;
    bmc.client().power_on().await.expect("the fifth request works");
    assert_eq!(bmc.resets().len(), 5);
}

#[tokio::test]
async fn the_next_reset_type_follows_a_refusal() {
    let bmc = FakeBmc::start(Model { reset_types: None, ..resets_answer([message(400, "X", "no")]) }).await;
    bmc.client().power_on().await.expect("ForceOn works");
    assert_eq!(bmc.resets(), ["On", "ForceOn"]);
}

#[tokio::test]
async fn action_info_says_what_the_system_does_not() {
    let bmc = FakeBmc::start(Model { reset_types: None, action_info: true, ..Model::default() }).await;
    bmc.client().power_on().await.expect("ForceOn is offered");
    assert_eq!(bmc.resets(), ["ForceOn"]);
    let error = bmc.client().soft_off().await.expect_err("GracefulShutdown is not offered");
    assert!(matches!(error.kind(), BmcErrorKind::NotSupported(_)), "{error:?}");
}

#[tokio::test]
async fn the_button_is_pressed_only_when_off() {
    let button = Some(vec!["PushPowerButton"]);
    let bmc = FakeBmc::start(Model { reset_types: button.clone(), ..Model::default() }).await;
    bmc.client().power_on().await.expect("pressed");
    assert_eq!(bmc.resets(), ["PushPowerButton"]);
    let bmc = FakeBmc::start(Model { reset_types: button, power: "Paused", ..Model::default() }).await;
    bmc.client().power_on().await.expect_err("state unknown");
    assert!(bmc.resets().is_empty());
}

#[tokio::test]
async fn off_soft_off_reboot_and_restart() {
    let bmc = FakeBmc::start(Model { power: "On", power_reads: 1, ..Model::default() }).await;
    let client = bmc.client();
    client.reboot().await.expect("off and on");
    client.restart().await.expect("reset");
    client.soft_off().await.expect("shuts down");
    client.power_off().await.expect("is off");
    assert_eq!(bmc.resets(), ["ForceOff", "On", "ForceRestart", "GracefulShutdown"]);
    let posts: Vec<_> = bmc.model().seen.iter().filter(|s| s.method == Method::POST).cloned().collect();
    assert!(posts.iter().all(|post| !post.headers.contains_key("if-match")));
}

#[tokio::test]
async fn a_bmc_that_demands_a_tag_on_actions_gets_any() {
    let demanded = message(428, "PreconditionHeaderMissing", "If-Match is missing");
    // The model refuses tags on actions, so the second request must carry one to be refused in this way.
    let bmc = FakeBmc::start(resets_answer([demanded])).await;
    let error = bmc.client().power_on().await.expect_err("412");
    assert_eq!(error.status(), Some(412));
    assert_eq!(bmc.requests(&Method::POST, RESET)[1].headers["if-match"], "*");
}

#[tokio::test]
async fn forbidden_is_final_and_says_why() {
    let bmc = FakeBmc::start(resets_answer([message(403, "InsufficientPrivilege", "lockdown mode")])).await;
    let error = bmc.client().power_on().await.expect_err("forbidden");
    assert!(!error.retryable());
    assert!(error.to_string().contains("lockdown mode"), "{error}");
    assert_eq!(bmc.requests(&Method::GET, SYSTEM).len(), 2);
}
