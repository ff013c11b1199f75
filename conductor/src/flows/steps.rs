//! Carrying out one step. Each may be begun again: what it does is idempotent, or found again on the agent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tacit_protocol::error::OperationError;
use tacit_protocol::v2::{EventKind, Operation, OperationRequest, OperationState, Progress};

use super::engine::Engine;
use super::image;
use super::inspection::Inspected;
use super::login::Login;
use super::plan::{FlowRecord, FlowStep};
use super::words::{WriteSeen, boot_entry};
use crate::agents::{AgentClient, AgentError, BootRecord};
use crate::bmc::{Bmc, BmcError, BootTarget, PowerState, SystemIdentity};
use crate::erasure::certified;
use crate::images::Allowance;
use crate::node::Node;
use crate::pki::Signed;
use crate::store::StoreError;

/// What a step leaves to be written down in the transaction that records its end.
pub(super) enum Effect {
    Nothing,
    Power(PowerState),
    Identity(Box<SystemIdentity>),
    Medium(Box<BootRecord>),
    MediumGone,
    Agent(Box<AgentSeen>),
    Inspected(Box<Inspected>),
    CleanSteps {
        offered: Vec<Map<String, Value>>,
        /// Of the hardware managers that offer them.
        version: Option<Value>,
    },
    /// What is stated of the devices.
    Erased(Vec<Signed>),
    InstanceForgotten,
}

/// Who answered at a node's address.
pub(super) struct AgentSeen {
    pub(super) url: String,
    /// `tacit` or `ipa`.
    pub(super) dialect: &'static str,
    pub(super) version: String,
    /// Tells this run of the agent from the next.
    pub(super) boot_id: String,
    /// What this agent cannot do of what Tacit's can.
    pub(super) limits: Option<&'static str>,
}

/// A step that came to its end.
pub(super) struct Outcome {
    pub(super) effect: Effect,
    /// One line for history and watchers.
    pub(super) message: String,
}

/// Why a step failed, in words that name the thing.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("BMC")]
    Bmc(#[from] BmcError),
    #[error("agent")]
    Agent(#[from] AgentError),
    #[error("wrong machine; nothing was sent to it")]
    WrongMachine(#[source] AgentError),
    #[error("store")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Refused(String),
    #[error("no agent answered at {address} within {} s of power-on ({medium}); the last attempt: {last}",
            .waited.as_secs())]
    NoAgent { address: std::net::SocketAddr, waited: Duration, medium: String, last: String },
    /// It failed or was stopped. `statements` are of the devices: some may be erased all the same.
    #[error("{command} {} on the agent: {error}; {}{}", how(*.cancelled), disk_words(&.error.disk),
            all_the_same(.statements))]
    Operation { command: String, cancelled: bool, error: Box<OperationError>, statements: Vec<Signed> },
}

fn how(cancelled: bool) -> &'static str {
    if cancelled { "was stopped" } else { "failed" }
}

fn all_the_same(statements: &[Signed]) -> String {
    match certified(statements) {
        0 => String::new(),
        count => format!("; devices erased all the same, and certified: {count}"),
    }
}

fn disk_words(disk: &tacit_protocol::error::DiskState) -> &'static str {
    use tacit_protocol::error::DiskState as D;
    match disk {
        D::Untouched => "nothing was written to the disk",
        D::NotBootable => "the disk is left not bootable",
        D::Verified => "the disk holds a verified image",
    }
}

/// One step of one node's flow.
pub(super) struct Work<'a> {
    pub(super) engine: &'a Arc<Engine>,
    pub(super) node: &'a Node,
    pub(super) flow: &'a FlowRecord,
    pub(super) login: &'a Login,
}

impl Work<'_> {
    pub(super) async fn run(&self, step: &FlowStep) -> Result<Outcome, StepError> {
        if let Some(outcome) = self.run_on_ipa(step).await? {
            return Ok(outcome);
        }
        match step {
            FlowStep::VerifyBmc => self.verify_bmc().await,
            FlowStep::PowerOff => {
                self.bmc()?.power_off().await?;
                done(Effect::Power(PowerState::Off), "power is off")
            }
            FlowStep::InsertMedium => self.insert_medium().await,
            FlowStep::PowerOn => {
                self.bmc()?.power_on().await?;
                done(Effect::Power(PowerState::On), "power is on")
            }
            FlowStep::WaitForAgent => self.wait_for_agent().await,
            FlowStep::Inspect => self.inspect().await,
            FlowStep::GetCleanSteps => self.get_clean_steps().await,
            FlowStep::CleanStep { step } => self.clean_step(step).await,
            FlowStep::WriteImage => self.write_image().await,
            FlowStep::InstallBootloader => self.install_bootloader().await,
            FlowStep::Sync => {
                self.operate("standby.sync", Map::new(), None).await?;
                done(Effect::Nothing, "everything is on the disk")
            }
            FlowStep::EjectMedium => {
                let bmc = self.bmc()?;
                bmc.eject_media().await?;
                bmc.set_boot(BootTarget::Hdd, false).await?;
                self.engine.withdraw_medium(self.node.uuid);
                done(Effect::MediumGone, "medium ejected, boots from disk")
            }
            FlowStep::ForgetInstance => done(Effect::InstanceForgotten, "instance forgotten"),
        }
    }

    pub(super) fn bmc(&self) -> Result<Bmc, StepError> {
        Ok(self.login.bmc(self.node)?)
    }

    async fn verify_bmc(&self) -> Result<Outcome, StepError> {
        let identity = self.bmc()?.verify().await?;
        let words = [&identity.manufacturer, &identity.model, &identity.uuid];
        let words: Vec<&str> = words.into_iter().filter_map(|word| word.as_deref()).collect();
        let message = if words.is_empty() { "BMC answers".into() } else { words.join(" ") };
        done(Effect::Identity(Box::new(identity)), message)
    }

    async fn insert_medium(&self) -> Result<Outcome, StepError> {
        let started = Instant::now();
        let record = self.engine.new_boot(self.node).map_err(StepError::Refused)?;
        let url = self.engine.publish_medium(self.node, &record).map_err(StepError::Refused)?;
        let made = started.elapsed();
        let bmc = self.bmc()?;
        bmc.insert_media(&url).await?;
        bmc.set_boot(BootTarget::Cd, true).await?;
        let message = format!("medium made in {:.1} ms and inserted", made.as_secs_f64() * 1e3);
        done(Effect::Medium(Box::new(record)), message)
    }

    async fn write_image(&self) -> Result<Outcome, StepError> {
        let plan = image::plan(self.node, &self.engine.config.image_dir)
            .map_err(|error| StepError::Refused(error.into()))?;
        let mut params = self.node_params()?;
        params
            .insert("step".into(), json!({"interface": "deploy", "step": "write_image", "args": plan.args}));
        let allowance = Some(Arc::new(plan.allowance));
        let mut seen = WriteSeen::default();
        let operation = self
            .follow("deploy.execute_deploy_step", params, allowance, |time, progress| {
                seen.add(time, progress)
            })
            .await?;
        let result = operation.result.unwrap_or_default();
        let said = result["deploy_result"]["result"].as_str().unwrap_or("image written");
        done(Effect::Nothing, seen.line(said))
    }

    async fn install_bootloader(&self) -> Result<Outcome, StepError> {
        let params = json!({"root_uuid": null, "efi_system_part_uuid": null, "prep_boot_part_uuid": null,
                            "target_boot_mode": "uefi"});
        let params = params.as_object().cloned().unwrap_or_default();
        let operation = self.operate("image.install_bootloader", params, None).await?;
        let message = match operation.result {
            Some(Value::Null) | None => "boot entry written".into(),
            Some(report) => boot_entry(&report),
        };
        done(Effect::Nothing, message)
    }

    /// Runs a command on the agent under this step's operation id, or goes on following it.
    pub(super) async fn operate(
        &self,
        command: &str,
        params: Map<String, Value>,
        allowance: Option<Arc<Allowance>>,
    ) -> Result<Operation, StepError> {
        self.follow(command, params, allowance, |_, _| {}).await
    }

    /// The same; `see` hears of progress, too, with the time (Unix).
    async fn follow(
        &self,
        command: &str,
        params: Map<String, Value>,
        allowance: Option<Arc<Allowance>>,
        mut see: impl FnMut(f64, &Progress),
    ) -> Result<Operation, StepError> {
        let boot_id = self.node.driver_internal_info.get("agent_boot_id").and_then(Value::as_str);
        let client = self.client(&self.boot()?)?.in_boot(boot_id);
        let request = OperationRequest { command: command.into(), params };
        let id = self.flow.operation_id();
        let operation = client
            .run(&id, &request, allowance, |event| {
                if let EventKind::Progress(progress) = &event.kind {
                    see(event.time, progress);
                    self.engine.progress(self.node, progress.clone());
                }
            })
            .await?;
        let command = command.to_owned();
        match (operation.state, operation.error.clone()) {
            (OperationState::Succeeded, _) => Ok(operation),
            (state, Some(error)) => {
                let cancelled = state == OperationState::Cancelled;
                Err(StepError::Operation { command, cancelled, error: error.into(), statements: vec![] })
            }
            (state, None) => {
                Err(StepError::Refused(format!("{command} ended as {state:?} without an error")))
            }
        }
    }

    pub(super) fn boot(&self) -> Result<BootRecord, StepError> {
        self.engine
            .boot_record(self.node.uuid)?
            .ok_or_else(|| StepError::Refused("the node was not booted by this conductor".into()))
    }

    pub(super) fn client(&self, boot: &BootRecord) -> Result<AgentClient, StepError> {
        Ok(AgentClient::of_boot(&self.engine.pki, boot)?)
    }

    /// `node` and `ports`, as steps get them; without secrets.
    pub(super) fn node_params(&self) -> Result<Map<String, Value>, StepError> {
        let ports = self.engine.store.transact(|tx| tx.ports_of(self.node.uuid))?;
        let ports: Vec<Value> = ports.iter().map(|port| json!({"address": port.address})).collect();
        let mut instance_info = self.node.instance_info.clone();
        instance_info.remove("configdrive");
        let node = json!({
            "uuid": self.node.uuid,
            "name": self.node.name,
            "properties": self.node.properties,
            "instance_info": instance_info,
            "driver_internal_info": {},
        });
        let mut params = Map::new();
        params.insert("node".into(), node);
        params.insert("ports".into(), Value::Array(ports));
        Ok(params)
    }
}

pub(super) fn done(effect: Effect, message: impl Into<String>) -> Result<Outcome, StepError> {
    Ok(Outcome { effect, message: message.into() })
}
