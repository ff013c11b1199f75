//! Waiting for a machine that was switched on until its IPA answers.

use std::time::Instant;

use serde_json::Map;
use tacit_protocol::v1::CommandStatus;

use super::driver_info::medium;
use super::operate::IpaWork;
use crate::agents::{AgentError, IpaClient, IpaStatus, one_line};
use crate::chain::chain;
use crate::flows::events::unix_now;
use crate::flows::steps::{AgentSeen, Effect, Outcome, StepError, done};
use crate::flows::waiting::{POLL, Patience, WRONG_MACHINE_PATIENCE};
use crate::port::normal_mac;

/// What IPA cannot do of what Tacit's agent can: goes into the node's record.
const LIMITS: &str = "it reports no progress, resumes and cancels nothing, proves nothing that it did, and may open \
                      connections of its own";

/// What an IPA that answers is ready for.
enum Found {
    Idle(IpaStatus),
    /// It works on a command that this flow did not send.
    Busy(String),
}

impl IpaWork<'_> {
    pub(super) async fn wait(&self) -> Result<Outcome, StepError> {
        let client = self.client()?;
        let address = client.address();
        let patience =
            Patience::new(self.work.engine.config.agent_timeout, self.work.flow.powered_on_at(), unix_now());
        let mut wrong_since: Option<Instant> = None;
        loop {
            let last = match look(&client).await {
                Ok(Found::Idle(status)) => {
                    self.identify(&status.run_id()).await?;
                    return self.seen(&client, status);
                }
                Ok(Found::Busy(command)) => {
                    wrong_since = None;
                    format!("it works on {command}, which this flow did not send")
                }
                Err(error @ (AgentError::WrongMachine { .. } | AgentError::TokenRefused { .. })) => {
                    // An earlier system of the machine's may still be on its way out.
                    let since = *wrong_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > WRONG_MACHINE_PATIENCE {
                        return Err(error.into());
                    }
                    chain(&error)
                }
                Err(error) => {
                    wrong_since = None;
                    chain(&error)
                }
            };
            if patience.is_over() {
                let medium = match medium(self.work.node) {
                    Ok(Some(_)) => "driver_info.deploy_iso was inserted",
                    _ => "how it boots is not this conductor's affair",
                };
                let (waited, medium) = (patience.waited(), medium.to_owned());
                return Err(StepError::NoAgent { address, waited, medium, last });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn seen(&self, client: &IpaClient, status: IpaStatus) -> Result<Outcome, StepError> {
        let url = format!("{}://{}", self.settings.scheme(), client.address());
        let message = format!("IPA {} answered at {url}; {LIMITS}", status.version);
        let seen = AgentSeen {
            url,
            dialect: "ipa",
            boot_id: status.run_id(),
            version: status.version,
            limits: Some(LIMITS),
        };
        done(Effect::Agent(Box::new(seen)), message)
    }

    /// The machine must have one of the node's network interfaces, where both are known.
    async fn identify(&self, run_id: &str) -> Result<(), StepError> {
        let ports = self.work.engine.store.transact(|tx| tx.ports_of(self.work.node.uuid))?;
        if ports.is_empty() {
            return Ok(());
        }
        // An IPA that is started again meanwhile is another one, and asked again.
        let id = format!("{}-{run_id}", self.work.flow.operation_id());
        let inventory = self.operate_in(run_id, &id, "poll.get_hardware_info", Map::new()).await?;
        let interfaces = inventory["interfaces"].as_array().into_iter().flatten();
        let shown: Vec<String> =
            interfaces.filter_map(|nic| nic["mac_address"].as_str().and_then(normal_mac)).collect();
        if shown.is_empty() || ports.iter().any(|port| shown.contains(&port.address)) {
            return Ok(());
        }
        let known: Vec<String> = ports.into_iter().map(|port| port.address).collect();
        let detail =
            format!("its network interfaces are {}, the record says {}", shown.join(", "), known.join(", "));
        Err(AgentError::WrongMachine { address: Some(self.client()?.address()), detail }.into())
    }
}

/// Whether IPA answers, takes the token, and has nothing else to do.
async fn look(client: &IpaClient) -> Result<Found, AgentError> {
    let status = client.status().await?;
    let commands = match client.commands().await {
        // A command of an earlier flow failed with what is no JSON: it lists nothing any more, and works.
        Err(AgentError::Refused { status: 500, .. }) => Vec::new(),
        commands => commands?,
    };
    Ok(match commands.into_iter().find(|command| command.command_status == CommandStatus::Running) {
        Some(command) => Found::Busy(one_line(&command.command_name)),
        None => Found::Idle(status),
    })
}
