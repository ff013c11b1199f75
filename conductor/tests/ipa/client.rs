use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tacit_conductor::agents::{AgentError, IpaClient, IpaOperation, IpaRecord, IpaSettings};
use tacit_protocol::v1::{Command, CommandRequest, CommandStatus};

use crate::fake_ipa::{FakeIpa, Lost, TOKEN, Wrong};

/// What a conductor wrote down, oldest first.
type Notes = Arc<Mutex<Vec<IpaRecord>>>;

fn request(name: &str) -> CommandRequest {
    let params = json!({"step": {"step": "erase_devices", "interface": "deploy"}});
    CommandRequest { name: name.to_owned(), params: params.as_object().unwrap().clone() }
}

/// Runs `clean.execute_clean_step` as operation `op-1` of the run of IPA that was seen first.
async fn run(client: &IpaClient, run_id: &str, notes: &Notes) -> Result<Command, AgentError> {
    let request = request("clean.execute_clean_step");
    let operation = IpaOperation { id: "op-1", run_id, request: &request };
    let kept = notes.lock().unwrap().last().cloned();
    let keep = |record: &IpaRecord| {
        notes.lock().unwrap().push(record.clone());
        Ok(())
    };
    client.run(&operation, kept, keep).await
}

async fn run_id(ipa: &FakeIpa) -> String {
    ipa.client().status().await.unwrap().run_id()
}

fn whole(error: &AgentError) -> String {
    use std::error::Error as _;
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}

#[tokio::test]
async fn a_command_is_written_down_before_and_after_it_is_sent() {
    for ipa in [FakeIpa::start().await, FakeIpa::start_plain().await] {
        ipa.state().commands.push(json!({"id": "old", "command_name": "execute_clean_step",
            "command_status": "SUCCEEDED", "command_error": null, "command_result": null}));
        let notes = Notes::default();
        let command = run(&ipa.client(), &run_id(&ipa).await, &notes).await.unwrap();
        assert_eq!(command.command_status, CommandStatus::Succeeded);
        let notes = notes.lock().unwrap();
        let before = &notes[0];
        assert_eq!((before.operation.as_str(), &before.id), ("op-1", &None));
        assert_eq!(before.known.as_deref(), Some(&["old".to_owned()][..]));
        assert_eq!(notes[1].id.as_deref(), Some(command.id.as_str()));
        assert_eq!(notes.len(), 2);
        assert_eq!(ipa.state().begun.len(), 1);
    }
}

#[tokio::test]
async fn nothing_is_sent_that_could_not_be_written_down() {
    let ipa = FakeIpa::start().await;
    let (request, run_id) = (request("standby.sync"), run_id(&ipa).await);
    let operation = IpaOperation { id: "op-1", run_id: &run_id, request: &request };
    let error = ipa.client().run(&operation, None, |_| Err("disk full".into())).await.unwrap_err();
    assert!(matches!(error, AgentError::Unrecorded(_)), "{error:?}");
    assert!(ipa.state().begun.is_empty());
}

#[tokio::test]
async fn a_wrong_token_is_named_and_never_shown() {
    let ipa = FakeIpa::start().await;
    let mut info = ipa.driver_info();
    info.insert("agent_token".into(), "another-token-0123456789".into());
    let client = IpaClient::new(ipa.address, &IpaSettings::of(&info).unwrap().unwrap()).unwrap();
    let error = client.commands().await.unwrap_err();
    assert!(matches!(error, AgentError::TokenRefused { .. }), "{error:?}");
    let text = whole(&error);
    assert!(text.contains("driver_info.agent_token") && !text.contains("another-token"), "{text}");
    // Redirects and faults repeat what they were asked, and the token stands in the URL.
    let query = "agent_token=token%2Fof%26the%3Dother%2Bside%2520";
    for echo in [
        Wrong::Status(308, format!("<p>go to http://h/v1/commands/?{query}")),
        Wrong::Status(400, json!({"faultcode": "Client", "faultstring": format!("bad {TOKEN}")}).to_string()),
        Wrong::Text(format!("{{\"{TOKEN}")),
    ] {
        ipa.state().wrong_list = Some(echo.clone());
        let error = ipa.client().commands().await.unwrap_err();
        let text = format!("{} {error:?}", whole(&error));
        assert!(!text.contains(TOKEN) && !text.contains("token%2Fof"), "{echo:?}: {text}");
    }
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_gets_no_byte() {
    let (ipa, other) = (FakeIpa::start().await, FakeIpa::start().await);
    let mut info = ipa.driver_info();
    info.insert("agent_certificate".into(), other.certificate_pem.clone().into());
    let client = IpaClient::new(ipa.address, &IpaSettings::of(&info).unwrap().unwrap()).unwrap();
    let error = client.commands().await.unwrap_err();
    assert!(matches!(error, AgentError::WrongMachine { .. }), "{error:?}");
    assert_eq!(ipa.state().requests, 0);
}

#[tokio::test]
async fn a_conductor_that_was_killed_finds_its_command_again() {
    let ipa = FakeIpa::start().await;
    ipa.state().by_hand = true;
    let (notes, id) = (Notes::default(), run_id(&ipa).await);
    let first = {
        let (client, notes, id) = (ipa.client(), Arc::clone(&notes), id.clone());
        tokio::spawn(async move { run(&client, &id, &notes).await })
    };
    ipa.begun(1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    // Whether or not the answer was written down: without it, the list tells.
    notes.lock().unwrap().truncate(1);
    let second = {
        let (client, notes, id) = (ipa.client(), Arc::clone(&notes), id.clone());
        tokio::spawn(async move { run(&client, &id, &notes).await })
    };
    while notes.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    // And with it the list is not needed: IPA may be unable to give one.
    ipa.state().wrong_list = Some(Wrong::Status(500, "{}".into()));
    ipa.succeed();
    let command = run(&ipa.client(), &id, &notes).await.unwrap();
    assert_eq!(command.command_status, CommandStatus::Succeeded);
    assert_eq!(ipa.state().begun.len(), 1, "sent again");
}

#[tokio::test]
async fn a_conductor_that_was_killed_before_it_sent_anything_sends_once() {
    let ipa = FakeIpa::start().await;
    let (notes, id) = (Notes::default(), run_id(&ipa).await);
    let record = IpaRecord {
        operation: "op-1".into(),
        command: "clean.execute_clean_step".into(),
        known: Some(Vec::new()),
        id: None,
    };
    notes.lock().unwrap().push(record);
    run(&ipa.client(), &id, &notes).await.unwrap();
    assert_eq!(ipa.state().begun.len(), 1);
    // What another operation left is none of this one's.
    notes.lock().unwrap().last_mut().unwrap().operation = "op-0".into();
    run(&ipa.client(), &id, &notes).await.unwrap();
    assert_eq!(ipa.state().begun.len(), 2);
}

#[tokio::test]
async fn lost_answers_do_not_send_a_command_twice() {
    for (lost, by_hand) in [(Lost::After, false), (Lost::After, true), (Lost::Before, false)] {
        let ipa = FakeIpa::start().await;
        let (client, id) = (ipa.client(), run_id(&ipa).await);
        ipa.state().lost = Some(lost);
        ipa.state().by_hand = by_hand;
        let task = tokio::spawn(async move { run(&client, &id, &Notes::default()).await });
        ipa.begun(1).await;
        if by_hand {
            ipa.succeed();
        }
        assert_eq!(task.await.unwrap().unwrap().command_status, CommandStatus::Succeeded);
        assert_eq!(ipa.state().begun.len(), 1, "{lost:?}");
    }
}

#[tokio::test]
async fn a_command_that_never_gets_through_is_given_up_though_questions_are_answered() {
    let ipa = FakeIpa::start().await;
    let (client, id) = (ipa.client().with_patience(Duration::from_millis(600)), run_id(&ipa).await);
    ipa.state().lost = Some(Lost::Always);
    let notes = Notes::default();
    let attempt = run(&client, &id, &notes);
    let ended = tokio::time::timeout(Duration::from_secs(60), attempt).await.expect("it tries for ever");
    assert!(ended.unwrap_err().is_transient());
    assert!(ipa.state().begun.is_empty());
}

#[tokio::test]
async fn a_restart_of_ipa_is_a_failure_and_never_a_second_attempt() {
    // In the middle of the command.
    let ipa = FakeIpa::start().await;
    ipa.state().by_hand = true;
    let (notes, id) = (Notes::default(), run_id(&ipa).await);
    let (client, kept, old) = (ipa.client(), Arc::clone(&notes), id.clone());
    let task = tokio::spawn(async move { run(&client, &old, &kept).await });
    ipa.begun(1).await;
    ipa.restart();
    let error = task.await.unwrap().unwrap_err();
    assert!(matches!(&error, AgentError::AgentRestarted { .. }), "{error:?}");
    assert!(!error.is_transient());
    // While the conductor was away.
    let error = run(&ipa.client(), &id, &notes).await.unwrap_err();
    assert!(matches!(&error, AgentError::AgentRestarted { .. }), "{error:?}");
    assert_eq!(ipa.state().begun.len(), 1);
    // Between a command that was lost on the way and the next attempt.
    let ipa = FakeIpa::start().await;
    let id = run_id(&ipa).await;
    ipa.state().lost = Some(Lost::Before);
    let client = ipa.client();
    let seen = ipa.state().requests;
    let task = tokio::spawn(async move { run(&client, &id, &Notes::default()).await });
    while ipa.state().requests < seen + 3 {
        tokio::task::yield_now().await;
    }
    ipa.restart();
    let error = task.await.unwrap().unwrap_err();
    assert!(matches!(&error, AgentError::AgentRestarted { .. }), "{error:?}");
    assert!(ipa.state().begun.is_empty());
}

#[tokio::test]
async fn a_busy_ipa_is_waited_for_until_patience_ends() {
    let ipa = FakeIpa::start().await;
    ipa.state().by_hand = true;
    let id = run_id(&ipa).await;
    ipa.state().commands.push(json!({"id": "foreign", "command_name": "prepare_image",
        "command_status": "RUNNING", "command_error": null, "command_result": null}));
    let client = ipa.client().with_patience(Duration::from_millis(600));
    let error = run(&client, &id, &Notes::default()).await.unwrap_err();
    assert!(
        matches!(&error, AgentError::Refused { status: 409, fault, .. } if fault.contains("prepare_image")),
        "{error:?}"
    );
    let client = ipa.client();
    let task = tokio::spawn(async move { run(&client, &id, &Notes::default()).await });
    ipa.end("FAILED", Value::Null, json!({"message": "no"}));
    ipa.begun(1).await;
    ipa.succeed();
    task.await.unwrap().unwrap();
    assert_eq!(ipa.state().begun.len(), 1);
}

#[tokio::test]
async fn an_ipa_that_cannot_list_its_commands_is_followed_by_id_or_given_up() {
    let ipa = FakeIpa::start().await;
    let (notes, id) = (Notes::default(), run_id(&ipa).await);
    let broken = "Object of type TypeError is not JSON serializable";
    let broken = json!({"faultcode": "Server", "faultstring": broken}).to_string();
    ipa.state().wrong_list = Some(Wrong::Status(500, broken.clone()));
    run(&ipa.client(), &id, &notes).await.unwrap();
    assert_eq!(notes.lock().unwrap()[0].known, None);
    // Killed before the id was known: nobody can tell.
    notes.lock().unwrap().truncate(1);
    let error = run(&ipa.client(), &id, &notes).await.unwrap_err();
    assert!(matches!(&error, AgentError::Unknowable { .. }), "{error:?}");
    assert_eq!(ipa.state().begun.len(), 1, "sent again");
    // The command that does it to IPA.
    ipa.state().wrong_list = None;
    ipa.state().wrong_post = Some(Wrong::Status(500, broken));
    let error = run(&ipa.client(), &id, &Notes::default()).await.unwrap_err();
    assert!(
        matches!(&error, AgentError::Refused { status: 500, fault, .. } if fault.contains("TypeError")),
        "{error:?}"
    );
}

#[tokio::test]
async fn answers_that_are_no_answers_end_soon_and_small() {
    let ipa = FakeIpa::start().await;
    let id = run_id(&ipa).await;
    let client =
        ipa.client().with_patience(Duration::from_millis(500)).with_answer_limit(Duration::from_millis(400));
    let evil_id = json!({"id": "../../v1/status?x=", "command_name": "execute_clean_step",
        "command_status": "RUNNING", "command_error": null, "command_result": null});
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let many = vec![
        json!({"id": "a", "command_name": "b", "command_status": "SUCCEEDED",
        "command_error": null, "command_result": null});
        10_001
    ];
    let wrongs = [
        Wrong::Huge,
        Wrong::Never,
        Wrong::Text("<html>".into()),
        Wrong::Text("{}".into()),
        Wrong::Text("null".into()),
        Wrong::Text(deep),
        Wrong::Text(evil_id.to_string()),
        Wrong::Text(json!({"commands": [evil_id]}).to_string()),
        Wrong::Text(json!({"commands": many}).to_string()),
        Wrong::Text(
            json!({"id": "1", "command_name": "reboot", "command_status": "DONE",
            "command_error": null, "command_result": null})
            .to_string(),
        ),
        Wrong::Text(json!({"version": "13\r\nx: y", "started_at": 1.0}).to_string()),
        Wrong::Status(302, "x".repeat(5000)),
    ];
    for wrong in wrongs {
        for place in 0..4 {
            {
                let mut state = ipa.state();
                state.begun.clear();
                state.commands.clear();
                (state.wrong_status, state.wrong_list, state.wrong_command, state.wrong_post) =
                    Default::default();
                state.by_hand = place == 2;
                let slot = match place {
                    0 => &mut state.wrong_status,
                    1 => &mut state.wrong_list,
                    2 => &mut state.wrong_command,
                    _ => &mut state.wrong_post,
                };
                *slot = Some(wrong.clone());
            }
            if place == 3 && wrong == Wrong::Never {
                continue; // The whole of a command may take ten minutes.
            }
            let started = Instant::now();
            let error = run(&client, &id, &Notes::default()).await.unwrap_err();
            assert!(started.elapsed() < Duration::from_secs(5), "{place} {wrong:?}");
            let text = whole(&error);
            assert!(text.len() < 1500 && !text.contains('\r'), "{place}: {text}");
            assert!(ipa.state().begun.len() <= 1, "sent again");
        }
    }
}

#[tokio::test]
async fn another_command_than_the_one_asked_for_is_not_believed() {
    let ipa = FakeIpa::start().await;
    let id = run_id(&ipa).await;
    ipa.state().wrong_post = Some(Wrong::Text(
        json!({"id": "1", "command_name": "sync", "command_status": "SUCCEEDED", "command_error": null,
               "command_result": null})
        .to_string(),
    ));
    let error = run(&ipa.client(), &id, &Notes::default()).await.unwrap_err();
    assert!(matches!(&error, AgentError::Protocol { .. }), "{error:?}");
}
