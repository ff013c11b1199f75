use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, header};
use serde_json::json;
use tacit_conductor::agents::AgentError;
use tacit_conductor::images::{Allowance, Origin};
use tacit_protocol::v2::{EventKind, OperationRequest, OperationState};

use crate::fake_agent::FakeAgent;
use crate::image_server::{ImageServer, file, pattern};
use crate::trust::new_pki;

const URL: &str = "http://image.test/disk.raw";

fn request(params: serde_json::Value) -> OperationRequest {
    OperationRequest { command: "test.work".to_owned(), params: params.as_object().unwrap().clone() }
}

fn allow(origin: Origin) -> Arc<Allowance> {
    let mut allowance = Allowance::new();
    allowance.allow(URL, origin);
    Arc::new(allowance)
}

fn kind(event: &tacit_protocol::v2::Event) -> &'static str {
    match event.kind {
        EventKind::Started { .. } => "started",
        EventKind::Progress(_) => "progress",
        EventKind::Finished { .. } => "finished",
        EventKind::Log { .. } => "log",
        EventKind::LendWanted => "lend-wanted",
    }
}

#[tokio::test]
async fn an_image_travels_over_a_lent_connection() {
    let (directory, pki) = new_pki();
    let agent = FakeAgent::start(&pki).await;
    let data = pattern(20_000_003);
    let path = directory.path().join("disk.raw");
    std::fs::write(&path, &data).unwrap();
    // Events of another time, which do not concern this operation.
    agent.shared.event(Some("earlier"), EventKind::LendWanted);
    agent.shared.event(None, EventKind::LendWanted);
    let mut events = Vec::new();
    let operation = agent
        .client(&pki)
        .run("op", &request(json!({"url": URL})), Some(allow(Origin::File(path))), |event| {
            events.push(kind(event))
        })
        .await
        .unwrap();
    assert_eq!(operation.state, OperationState::Succeeded);
    assert_eq!(events, ["started", "progress", "finished"]);
    assert!(agent.fetched() == data, "the bytes differ");
}

#[tokio::test]
async fn an_image_server_that_breaks_off_costs_a_connection_not_the_image() {
    let (_directory, pki) = new_pki();
    let agent = FakeAgent::start(&pki).await;
    let data = pattern(3_000_000);
    let (served, answered) = (data.clone(), AtomicU64::new(0));
    let server = ImageServer::start(move |request| match answered.fetch_add(1, Ordering::SeqCst) {
        0 => file(request, &served, Some(1_000_000)),
        1 => file(request, &served, Some(500_000)),
        2 => hyper::Response::builder().status(503).body(tacit_conductor::media::empty()).unwrap(),
        _ => file(request, &served, None),
    })
    .await;
    let origin = Origin::Http { url: server.url("/disk.raw"), authorization: None };
    let mut retries = 0;
    let operation = agent
        .client(&pki)
        .run("op", &request(json!({"url": URL})), Some(allow(origin)), |event| {
            if let EventKind::Progress(progress) = &event.kind {
                retries = progress.retries;
            }
        })
        .await
        .unwrap();
    assert_eq!(operation.state, OperationState::Succeeded);
    assert!(agent.fetched() == data, "the bytes differ");
    assert_eq!((retries, server.requests()), (3, 4));
    let seen = server.seen.lock().unwrap();
    assert!(seen[1..].iter().all(|(_, headers)| headers.contains_key(header::RANGE)), "went back to byte 0");
}

#[tokio::test]
async fn a_url_that_was_not_allowed_fails_the_operation() {
    let (_directory, pki) = new_pki();
    let agent = FakeAgent::start(&pki).await;
    let allowance = allow(Origin::Bytes(Bytes::from_static(b"x")));
    let operation = agent
        .client(&pki)
        .run("op", &request(json!({"url": "http://image.test/other"})), Some(allowance), |_| {})
        .await
        .unwrap();
    assert_eq!(operation.state, OperationState::Failed);
    assert_eq!(operation.error.unwrap().details, "status 403");
}

#[tokio::test]
async fn an_idle_connection_is_always_lent() {
    let (_directory, pki) = new_pki();
    let agent = FakeAgent::start(&pki).await;
    let client = agent.client(&pki);
    let run = tokio::spawn(async move {
        client.run("op", &request(json!({})), Some(allow(Origin::Bytes(pattern(10)))), |_| {}).await
    });
    let mut used = Vec::new();
    for count in 1..=3 {
        agent.offered(count).await;
        let mut lent = agent.take_lent().await;
        let fetch = Request::get(URL).header(header::HOST, "i").body(Empty::new()).unwrap();
        let body = lent.send_request(fetch).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), pattern(10));
        used.push(lent);
    }
    // One that the agent closes without using it is replaced as well.
    agent.offered(4).await;
    drop(agent.take_lent().await);
    agent.offered(5).await;
    agent.shared.finish("op", OperationState::Succeeded, None);
    assert_eq!(run.await.unwrap().unwrap().state, OperationState::Succeeded);
}

#[tokio::test]
async fn a_single_lent_connection_ends_with_the_agent() {
    let (_directory, pki) = new_pki();
    let agent = FakeAgent::start(&pki).await;
    let client = agent.client(&pki);
    let lend = tokio::spawn(async move { client.lend(allow(Origin::Bytes(pattern(10)))).await });
    let mut lent = agent.take_lent().await;
    for _ in 0..2 {
        let fetch = Request::get(URL).header(header::HOST, "i").body(Empty::new()).unwrap();
        lent.send_request(fetch).await.unwrap().into_body().collect().await.unwrap();
        lent.ready().await.unwrap();
    }
    drop(lent);
    let end = lend.await.unwrap().unwrap();
    assert_eq!((end.requests, end.broken), (2, None));
}

#[tokio::test]
async fn a_conductor_that_lost_its_memory_attaches_again() {
    let (_directory, pki) = new_pki();
    let agent = FakeAgent::start(&pki).await;
    let first = agent.client(&pki);
    let task = tokio::spawn(async move { first.run("op", &request(json!({})), None, |_| {}).await });
    agent.started("op").await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());

    let second = agent.client(&pki);
    let error = second.start("other", &request(json!({}))).await.unwrap_err();
    assert!(
        matches!(&error, AgentError::Refused { status: 409, fault, .. } if fault == "agent is busy"),
        "{error:?}"
    );
    let error = second.start("op", &request(json!({"changed": true}))).await.unwrap_err();
    assert!(matches!(error, AgentError::Refused { status: 409, .. }), "{error:?}");

    // What the request is made of was changed meanwhile: a run attaches to what has its id all the same.
    let mut events = Vec::new();
    let work = request(json!({"changed": true}));
    let (operation, ()) =
        tokio::join!(second.run("op", &work, None, |event| events.push(kind(event))), async {
            agent.shared.finish("op", OperationState::Succeeded, None);
        });
    assert_eq!(operation.unwrap().state, OperationState::Succeeded);
    assert_eq!(events, ["started", "finished"], "the whole story, though the start was another's");

    // Attaching to what has ended already is the same.
    events.clear();
    let operation = second.run("op", &work, None, |event| events.push(kind(event))).await.unwrap();
    assert_eq!(operation.state, OperationState::Succeeded);
    assert_eq!(events, ["started", "finished"]);
}

#[tokio::test]
async fn broken_connections_do_not_end_a_run() {
    let (_directory, pki) = new_pki();
    let agent = FakeAgent::start(&pki).await;
    let client = agent.client(&pki);
    let run = tokio::spawn(async move {
        let mut events = Vec::new();
        let operation = client.run("op", &request(json!({})), None, |event| events.push(event.seq)).await;
        (operation, events)
    });
    agent.started("op").await;
    for _ in 0..3 {
        agent.drop_connections();
        agent.shared.event(Some("op"), EventKind::LendWanted);
    }
    agent.drop_connections();
    agent.shared.finish("op", OperationState::Failed, None);
    let (operation, events) = run.await.unwrap();
    assert_eq!(operation.unwrap().state, OperationState::Failed);
    assert_eq!(events, [1, 2, 3, 4, 5], "each event once");
}

#[tokio::test]
async fn an_operation_that_is_gone_is_an_error() {
    let (_directory, pki) = new_pki();
    for boot_id in ["boot-2", "boot-1"] {
        let agent = FakeAgent::start(&pki).await;
        let client = agent.client(&pki);
        let run = tokio::spawn(async move { client.run("op", &request(json!({})), None, |_| {}).await });
        agent.started("op").await;
        agent.restart(boot_id, false);
        let error = run.await.unwrap().unwrap_err();
        assert!(
            matches!(&error, AgentError::AgentRestarted { operation, .. } if operation == "op"),
            "{error:?}"
        );
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn nothing_is_begun_in_another_boot() {
    let (_directory, pki) = new_pki();
    let agent = FakeAgent::start(&pki).await;
    agent.restart("boot-2", false);
    let client = agent.client(&pki).in_boot(Some("boot-1"));
    let error = client.run("op", &request(json!({})), None, |_| {}).await.unwrap_err();
    assert!(
        matches!(&error, AgentError::AgentRestarted { .. }) && error.to_string().contains("boot-2"),
        "{error}"
    );
    assert!(agent.client(&pki).operation("op").await.unwrap().is_none(), "begun all the same");
}

#[tokio::test]
async fn an_operation_that_a_restarted_agent_reports_as_failed_is_its_result() {
    let (_directory, pki) = new_pki();
    let agent = FakeAgent::start(&pki).await;
    let client = agent.client(&pki);
    let run = tokio::spawn(async move { client.run("op", &request(json!({})), None, |_| {}).await });
    agent.started("op").await;
    for _ in 0..5 {
        agent.shared.event(Some("op"), EventKind::LendWanted);
    }
    agent.restart("boot-1", true);
    agent.shared.finish("op", OperationState::Failed, None);
    assert_eq!(run.await.unwrap().unwrap().state, OperationState::Failed);
}

#[tokio::test]
async fn patience_ends() {
    let (_directory, pki) = new_pki();
    let agent = FakeAgent::start(&pki).await;
    let client = agent.client(&pki).with_patience(Duration::from_millis(900));
    let run = tokio::spawn(async move { client.run("op", &request(json!({})), None, |_| {}).await });
    agent.started("op").await;
    agent.vanish();
    let error = run.await.unwrap().unwrap_err();
    assert!(matches!(error, AgentError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn patience_ends_with_an_agent_that_answers_and_begins_nothing() {
    let (_directory, pki) = new_pki();
    let agent = FakeAgent::start(&pki).await;
    agent.shared.begins_nothing.store(true, Ordering::SeqCst);
    let client = agent.client(&pki).with_patience(Duration::from_millis(900));
    let work = request(json!({}));
    let run = tokio::time::timeout(Duration::from_secs(60), client.run("op", &work, None, |_| {}));
    let error = run.await.expect("it tries for ever").unwrap_err();
    assert!(matches!(error, AgentError::Refused { status: 503, .. }), "{error:?}");
}

#[tokio::test]
async fn a_cancelled_operation_ends_its_run() {
    let (_directory, pki) = new_pki();
    let agent = FakeAgent::start(&pki).await;
    let client = agent.client(&pki);
    let runner = client.clone();
    let run = tokio::spawn(async move { runner.run("op", &request(json!({})), None, |_| {}).await });
    agent.started("op").await;
    client.cancel("op").await.unwrap();
    assert_eq!(run.await.unwrap().unwrap().state, OperationState::Cancelled);
    assert!(client.operation("never").await.unwrap().is_none());
}
