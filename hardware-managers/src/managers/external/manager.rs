//! A program as a hardware manager.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tacit_model::Step;

use super::super::devices::{DeviceAnswer, DeviceKind, InventoryPart};
use super::super::error::StepError;
use super::super::manager::{HardwareManager, StepContext, StepFamily, SupportLevel, unsupported};
use super::answers::{check_description, check_proofs, check_steps, step_result};
use super::exchange::{Question, ask};
use super::fault::Fault;
use super::protocol::{Description, Message, OfferedStep, Request};
use super::trust;

/// Answers about devices that are kept from one time to the next; more devices than any machine has.
const KEPT_ANSWERS: usize = 4096;
/// Longest text of a progress report that is passed on, in bytes.
const LONGEST_LABEL: usize = 128;

/// How long the requests may take that are no steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Describe, evaluate, steps, filter_device and inventory.
    pub(super) questions: Duration,
    pub(super) initialize: Duration,
    pub(super) plans: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { questions: seconds(10), initialize: seconds(60), plans: seconds(60) }
    }
}

/// A program in the ramdisk that speaks the protocol of external managers.
pub(super) struct ExternalHardwareManager {
    path: PathBuf,
    patience: Patience,
    description: Description,
    level: SupportLevel,
    /// What was said of which device: devices that have not changed are not asked about again.
    known: Mutex<HashMap<(DeviceKind, String), DeviceAnswer>>,
}

impl ExternalHardwareManager {
    /// Asks a program who it is and how well it knows the machine.
    pub(super) fn start(path: &Path, patience: Patience) -> Result<(SupportLevel, Self), Fault> {
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let Message::Description(description) = say(path, &file, &Request::Describe {}, patience.questions)?
        else {
            return Err(Fault::NoAnswer);
        };
        check_description(&description)?;
        let Message::Support { level } =
            say(path, &description.name, &Request::Evaluate {}, patience.questions)?
        else {
            return Err(Fault::NoAnswer);
        };
        let level = SupportLevel::from(level);
        let known = Mutex::default();
        Ok((level, Self { path: path.to_owned(), patience, description, level, known }))
    }

    fn ask(&self, request: &Request, time: Duration) -> Result<Message, Fault> {
        say(&self.path, &self.description.name, request, time)
    }

    /// The error of a request that is no step.
    fn failed(&self, request: &Request, fault: &Fault) -> StepError {
        if matches!(fault, Fault::Unsupported) {
            return unsupported(&self.description.name, request.word());
        }
        self.error(request, fault, false)
    }

    fn error(&self, request: &Request, fault: &Fault, destructive: bool) -> StepError {
        let subject = request.subject().map(|subject| format!(" {subject}")).unwrap_or_default();
        let name = &self.description.name;
        let (retry, touched) = match fault {
            Fault::Said { retry, touched, .. } => (*retry, touched.unwrap_or(destructive)),
            Fault::Untrusted(_) | Fault::Start(_) => (false, false),
            _ => (false, destructive),
        };
        StepError::Failed {
            class: "CommandExecutionError",
            code: 500,
            message: "Command execution failed",
            details: format!("hardware manager {name}, {}{subject}: {}", request.word(), fault.chain()),
            retry,
            touched,
        }
    }

    fn offered(&self, node: &Value, ports: &Value) -> Result<Vec<OfferedStep>, StepError> {
        let request = Request::Steps { node: node.clone(), ports: ports.clone() };
        match self.ask(&request, self.patience.questions) {
            Ok(Message::Steps { steps }) => {
                check_steps(&steps).map_err(|fault| self.failed(&request, &fault))?;
                Ok(steps)
            }
            Ok(_) => Err(self.failed(&request, &Fault::NoAnswer)),
            Err(Fault::Unsupported) => Ok(Vec::new()),
            Err(fault) => Err(self.failed(&request, &fault)),
        }
    }

    fn plan(&self, step: &OfferedStep, context: &StepContext<'_>) -> Result<Value, StepError> {
        let request = Request::PlanStep {
            step: step.step.clone(),
            node: context.node.clone(),
            ports: context.ports.clone(),
            args: arguments(context),
        };
        match self.ask(&request, self.patience.plans) {
            Ok(Message::Plan { step: answered, plan }) if answered == step.step => {
                Ok(json!({ "plan": plan }))
            }
            Ok(Message::Plan { step: answered, .. }) => {
                Err(self.failed(&request, &other_step(&step.step, answered)))
            }
            // Another manager's plan would be that of another step.
            Ok(_) | Err(Fault::Unsupported) => Err(StepError::InvalidParameter {
                parameter: "dry_run".to_owned(),
                problem: format!(
                    "hardware manager {} cannot tell what {} would do",
                    self.description.name, step.step
                ),
            }),
            Err(fault) => Err(self.failed(&request, &fault)),
        }
    }

    fn run(&self, step: &OfferedStep, context: &StepContext<'_>) -> Result<Value, StepError> {
        let request = Request::RunStep {
            step: step.step.clone(),
            node: context.node.clone(),
            ports: context.ports.clone(),
            args: arguments(context),
        };
        let destructive = step.must_prove();
        if destructive {
            context.observer.about_to_write()?;
        }
        let mut on_progress = |report: super::protocol::ProgressReport| {
            let (stage, device) = (label(&report.stage), label(&report.device));
            context.observer.progress(stage, device, report.done, report.total, report.unit);
        };
        let question = Question {
            request: &request,
            time: step.time(),
            stop: step.stop_time(),
            on_progress: &mut on_progress,
            stop_wanted: &|| context.observer.cancelled(),
        };
        let outcome =
            trust::check(&self.path).and_then(|program| ask(&program, &self.description.name, question));
        let outcome = outcome.and_then(|answer| match answer {
            Message::Result { step: answered, result, mut proofs } if answered == step.step => {
                check_proofs(step, &self.description.name, &mut proofs)?;
                Ok(step_result(result, &proofs))
            }
            Message::Result { step: answered, .. } => Err(other_step(&step.step, answered)),
            _ => Err(Fault::NoAnswer),
        });
        outcome.map_err(|fault| match fault {
            Fault::Unsupported => unsupported(&self.description.name, &step.step),
            Fault::Stopped => StepError::Stopped {
                manager: self.description.name.clone(),
                step: step.step.clone(),
                touched: destructive,
            },
            fault => self.error(&request, &fault, destructive),
        })
    }
}

/// A request without progress that nobody stops.
fn say(path: &Path, name: &str, request: &Request, time: Duration) -> Result<Message, Fault> {
    let program = trust::check(path)?;
    let question = Question { request, time, stop: None, on_progress: &mut |_| {}, stop_wanted: &|| false };
    ask(&program, name, question)
}

fn other_step(asked: &str, answered: String) -> Fault {
    let answered = super::process::shown(answered.as_bytes());
    Fault::Subject { asked: asked.to_owned(), answered }
}

/// What the step was called with; whether it is to be done or planned is said by the request.
fn arguments(context: &StepContext<'_>) -> serde_json::Map<String, Value> {
    context.args.iter().filter(|(key, _)| *key != "dry_run").map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// A text that is short enough to be passed on.
fn label(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_LABEL)]
}

impl HardwareManager for ExternalHardwareManager {
    fn name(&self) -> &str {
        &self.description.name
    }

    fn class(&self) -> &str {
        &self.description.name
    }

    fn version(&self) -> &str {
        &self.description.version
    }

    fn evaluate_hardware_support(&self) -> SupportLevel {
        self.level
    }

    fn initialize(&self) -> Result<(), StepError> {
        if !self.description.initialize {
            return Ok(());
        }
        let request = Request::Initialize {};
        match self.ask(&request, self.patience.initialize) {
            Ok(_) => Ok(()),
            Err(fault) => Err(self.error(&request, &fault, false)),
        }
    }

    fn is_built_in(&self) -> bool {
        false
    }

    fn clean_steps(&self) -> Vec<Step> {
        Vec::new()
    }

    fn deploy_steps(&self) -> Vec<Step> {
        Vec::new()
    }

    fn steps(&self, family: StepFamily, node: &Value, ports: &Value) -> Result<Vec<Step>, StepError> {
        Ok(self.offered(node, ports)?.iter().filter_map(|step| step.offer(family)).collect())
    }

    fn run_step(&self, step: &str, context: &StepContext<'_>) -> Result<Value, StepError> {
        let dry_run = context.dry_run()?;
        let offered = self.offered(context.node, context.ports)?;
        let Some(offered) = offered.iter().find(|offered| offered.step == step) else {
            return Err(unsupported(&self.description.name, step));
        };
        if dry_run { self.plan(offered, context) } else { self.run(offered, context) }
    }

    fn filter_devices(&self, kind: DeviceKind, devices: &[Value]) -> Result<Vec<DeviceAnswer>, StepError> {
        if !self.description.filters.contains(&kind) {
            return Err(unsupported(&self.description.name, "filter_device"));
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<_> = devices.iter().map(|device| (kind, device.to_string())).collect();
        let mut new: Vec<usize> = (0..devices.len()).filter(|&at| !known.contains_key(&keys[at])).collect();
        if known.len() + new.len() > KEPT_ANSWERS {
            // What is forgotten is asked about again: without an answer, a hidden device would be shown.
            known.clear();
            new = (0..devices.len()).collect();
        }
        if !new.is_empty() {
            let devices = new.iter().map(|&at| devices[at].clone()).collect();
            let request = Request::FilterDevice { kind, devices };
            let told = match self.ask(&request, self.patience.questions) {
                Ok(Message::Devices { devices }) => devices,
                Ok(_) => return Err(self.failed(&request, &Fault::NoAnswer)),
                Err(fault) => return Err(self.failed(&request, &fault)),
            };
            if told.len() != new.len() {
                let text = format!("{} answers for {} devices", told.len(), new.len());
                return Err(self.failed(&request, &Fault::Unusable(text)));
            }
            for (at, answer) in new.into_iter().zip(told) {
                known.insert(keys[at].clone(), answer);
            }
        }
        Ok(keys.iter().map(|key| known[key].clone()).collect())
    }

    fn inventory_part(&self, part: InventoryPart, found: &Value) -> Result<Value, StepError> {
        if !self.description.inventory.contains(&part) {
            return Err(unsupported(&self.description.name, part.key()));
        }
        let request = Request::Inventory { part, found: found.clone() };
        match self.ask(&request, self.patience.questions) {
            Ok(Message::Inventory { part: answered, value }) if answered == part => Ok(value),
            Ok(Message::Inventory { part: answered, .. }) => {
                let fault = Fault::Subject { asked: part.key().into(), answered: answered.key().into() };
                Err(self.failed(&request, &fault))
            }
            Ok(_) => Err(self.failed(&request, &Fault::NoAnswer)),
            Err(fault) => Err(self.failed(&request, &fault)),
        }
    }
}
