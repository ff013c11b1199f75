//! What Ironic is shown of an operation that was lost with its agent (IPA contract §1.4).

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::judge::works;
use super::session::Session;

/// The kind of steps that a command belongs to: `clean` of `get_clean_steps` and of `execute_clean_step`.
pub(super) fn step_kind(bare_name: &str) -> Option<&'static str> {
    let kind = bare_name.strip_prefix("get_").and_then(|rest| rest.strip_suffix("_steps"));
    let kind = kind.or_else(|| bare_name.strip_prefix("execute_")?.strip_suffix("_step"))?;
    ["clean", "deploy", "service"].into_iter().find(|known| *known == kind)
}

/// In place of the agent's list. Ironic believes a failure only of the command that it waits for: the last one has to
/// be an `execute_<kind>_step`, and what it asks for by name has to be there. Where the kind is not known, an error
/// makes it give up.
pub(super) fn list(session: &Session, id: &str, why: &str) -> (StatusCode, Value) {
    let Some(kind) = &session.kind else {
        return (StatusCode::INTERNAL_SERVER_ERROR, json!({"faultcode": "Server", "faultstring": why}));
    };
    let step = format!("execute_{kind}_step");
    let last = session.last.as_ref().map(|last| last.name.as_str());
    let last = last.filter(|last| works(last) && *last != step);
    let commands: Vec<_> =
        last.into_iter().chain([step.as_str()]).map(|name| command(id, name, why)).collect();
    (StatusCode::OK, json!({"commands": commands}))
}

/// One failed command.
pub(super) fn command(id: &str, name: &str, why: &str) -> Value {
    json!({
        "id": id,
        "command_name": name,
        "command_status": "FAILED",
        "command_error": {
            "type": "CommandExecutionError",
            "code": 500,
            "message": "Command execution failed",
            "details": why,
        },
        "command_result": null,
    })
}

#[cfg(test)]
mod tests {
    use super::super::session::Known;
    use super::super::session::tests::session;
    use super::*;

    #[test]
    fn kinds_are_in_the_names() {
        let kinds = ["get_clean_steps", "execute_deploy_step", "execute_service_step"].map(step_kind);
        assert_eq!(kinds, [Some("clean"), Some("deploy"), Some("service")]);
        for other in ["get_partition_uuids", "execute_step", "execute_x_step", "sync", ""] {
            assert_eq!(step_kind(other), None, "{other}");
        }
    }

    fn names(kind: Option<&str>, last: Option<&str>) -> Vec<Value> {
        let last = last.map(|name| Known {
            id: "1".into(),
            name: name.into(),
            finished: true,
            succeeded: true,
            reported: true,
        });
        let session = Session { kind: kind.map(str::to_owned), last, ..session() };
        let (_, answer) = list(&session, "1", "gone");
        let commands = answer["commands"].as_array().cloned().unwrap_or_default();
        assert!(commands.iter().all(|command| command["command_status"] == "FAILED"));
        commands.into_iter().map(|command| command["command_name"].clone()).collect()
    }

    #[test]
    fn ironic_sees_the_failure_of_what_it_waits_for() {
        assert_eq!(names(Some("clean"), Some("get_clean_steps")), ["execute_clean_step"]);
        assert_eq!(names(Some("clean"), None), ["execute_clean_step"]);
        // On the fast track from one operation to the next.
        assert_eq!(
            names(Some("deploy"), Some("execute_clean_step")),
            ["execute_clean_step", "execute_deploy_step"]
        );
        let polled = ["install_bootloader", "execute_deploy_step"];
        assert_eq!(names(Some("deploy"), Some("install_bootloader")), polled);
        assert!(names(None, None).is_empty());
    }
}
