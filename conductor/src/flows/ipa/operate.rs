//! One command of a step on IPA, on record in the store.

use serde_json::{Map, Value};
use tacit_protocol::v1::{Command, CommandRequest, CommandStatus};

use crate::agents::{IpaClient, IpaOperation, IpaRecord, IpaSettings, one_line};
use crate::flows::address;
use crate::flows::engine::IPA_DOC;
use crate::flows::steps::{StepError, Work};

/// A step of a node whose agent is IPA.
pub(super) struct IpaWork<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) settings: IpaSettings,
}

impl IpaWork<'_> {
    pub(super) fn client(&self) -> Result<IpaClient, StepError> {
        let address = address::agent_address(self.work.node).map_err(StepError::Refused)?;
        Ok(IpaClient::new(address, &self.settings)?)
    }

    /// Runs a command as this step's, or goes on following it.
    pub(super) async fn operate(&self, name: &str, params: Map<String, Value>) -> Result<Value, StepError> {
        let run_id = self.work.node.driver_internal_info.get("agent_boot_id").and_then(Value::as_str);
        self.operate_in(run_id.unwrap_or_default(), &self.work.flow.operation_id(), name, params).await
    }

    /// The same for a run of IPA that is not on record yet; `id` is the conductor's own name of what is done.
    pub(super) async fn operate_in(
        &self,
        run_id: &str,
        id: &str,
        name: &str,
        params: Map<String, Value>,
    ) -> Result<Value, StepError> {
        let (store, node) = (&self.work.engine.store, self.work.node.uuid);
        let request = CommandRequest { name: name.to_owned(), params };
        let operation = IpaOperation { id, run_id, request: &request };
        let kept = store.transact(|tx| tx.doc::<IpaRecord>(IPA_DOC, node))?;
        let keep =
            |record: &IpaRecord| store.transact(|tx| tx.put_doc(IPA_DOC, node, record)).map_err(Into::into);
        let command = self.client()?.run(&operation, kept, keep).await?;
        result(name, command)
    }
}

/// What a command brought, or why not.
fn result(name: &str, command: Command) -> Result<Value, StepError> {
    let refused =
        |reason: String| Err(StepError::Refused(format!("{name} failed on IPA: {reason}{}", disk(name))));
    match command.command_status {
        CommandStatus::Succeeded => Ok(command.command_result.unwrap_or_default()),
        CommandStatus::Failed => refused(words(&command.command_error.unwrap_or_default())),
        CommandStatus::VersionMismatch => Err(StepError::Refused(format!(
            "{name}: IPA's hardware managers are not those any more that offered this step; it did nothing"
        ))),
        CommandStatus::Running => refused("it has not ended".into()),
    }
}

/// IPA does not say what a step that failed left behind.
fn disk(name: &str) -> &'static str {
    if name.contains(".execute_") { "; what it left on the disks is not known" } else { "" }
}

/// `ImageChecksumError: what it says of it`
fn words(error: &Value) -> String {
    let text = |key: &str| error[key].as_str().filter(|text| !text.trim().is_empty());
    let said = text("details").or(text("message")).map_or_else(|| one_line(&error.to_string()), one_line);
    match text("type") {
        Some(class) => format!("{}: {said}", one_line(class)),
        None => said,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn command(status: CommandStatus, error: Value) -> Command {
        Command {
            id: "1".into(),
            command_name: "execute_deploy_step".into(),
            command_status: status,
            command_error: Some(error),
            command_result: None,
        }
    }

    #[test]
    fn failures_in_words() {
        let of =
            |name: &str, status, error: Value| result(name, command(status, error)).unwrap_err().to_string();
        let error = json!({"type": "ImageChecksumError", "code": 500, "message": "Error verifying image checksum",
                           "details": "expected a,\ngot b"});
        assert_eq!(
            of("deploy.execute_deploy_step", CommandStatus::Failed, error),
            "deploy.execute_deploy_step failed on IPA: ImageChecksumError: expected a, got b; what it left on the disks \
             is not known"
        );
        let bare = of("standby.sync", CommandStatus::Failed, json!({"message": "no"}));
        assert_eq!(bare, "standby.sync failed on IPA: no");
        let long = of("standby.sync", CommandStatus::Failed, json!("x".repeat(5000)));
        assert!(long.ends_with('…') && long.len() < 1100, "{long}");
        let mismatch = of("clean.execute_clean_step", CommandStatus::VersionMismatch, Value::Null);
        assert!(mismatch.contains("it did nothing"), "{mismatch}");
    }
}
