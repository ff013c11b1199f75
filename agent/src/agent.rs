//! What all of the agent shares.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::Value;
use tacit_hardware::{
    GenericHardwareManager, IntelCnaHardwareManager, Machine, Managers, MellanoxDeviceHardwareManager, Roots,
};
use tacit_protocol::medium::ImagePolicy;
use tacit_protocol::ramdisk::EXTERNAL_MANAGERS;
use tacit_protocol::v2::Identity;
use tokio::runtime::Handle;

use crate::access::Access;
use crate::clock::Clock;
use crate::commands::{ImagingHardwareManager, RescuePaths};
use crate::init;
use crate::ipa::IpaFace;
use crate::jobs::{EventLog, JobContext, Jobs, Journal, JournalError};
use crate::logging::LogRing;
use crate::power::Power;
use crate::process::{Timeline, boot_id, wait_for_devices};
use tacit_fetch::LendPool;

/// How an agent is started.
#[derive(Debug)]
pub struct AgentOptions {
    /// Empty where only a caller can tell.
    pub node_uuid: String,
    /// Where the journal is kept.
    pub state_dir: PathBuf,
    /// No other disks exist for this agent; plain files and loop devices are disks only when named here.
    pub disks: Option<Vec<PathBuf>>,
    /// Folder with hardware managers that are programs of their own; it need not exist.
    pub hardware_managers: PathBuf,
    /// Whether the clock may be set and the machine be left.
    pub owns_machine: bool,
    pub image_policy: ImagePolicy,
    /// What stands for a certificate, as with IPA.
    pub token: Option<String>,
    /// In IPA's place.
    pub ipa: Option<IpaFace>,
    pub rescue: RescuePaths,
    pub logs: LogRing,
    /// Uptime at which this process began, in seconds.
    pub process_start: f64,
}

impl AgentOptions {
    /// An agent that nothing was said about, but where it keeps its journal.
    pub fn new(state_dir: PathBuf) -> Self {
        Self {
            node_uuid: String::new(),
            state_dir,
            disks: None,
            hardware_managers: EXTERNAL_MANAGERS.into(),
            owns_machine: false,
            image_policy: ImagePolicy::default(),
            token: None,
            ipa: None,
            rescue: RescuePaths::default(),
            logs: LogRing::default(),
            process_start: crate::clock::uptime(),
        }
    }
}

/// What was written by this agent since it began: answers `get_partition_uuids`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deployed {
    pub image_id: String,
    pub device: String,
    /// `"root uuid"` and its like (IPA contract §2.1).
    pub uuids: serde_json::Map<String, Value>,
}

/// The agent: shared by all requests and the running operation.
pub struct Agent {
    node_uuid: String,
    pub boot_id: String,
    pub machine: Machine,
    pub managers: Managers,
    pub access: Access,
    pub rescue: RescuePaths,
    pub jobs: Arc<Jobs>,
    pub events: Arc<EventLog>,
    pub lends: Arc<LendPool>,
    pub power: Power,
    pub clock: Clock,
    pub timeline: Timeline,
    pub logs: LogRing,
    pub runtime: Handle,
    /// Held from the look whether the agent is busy until the command has the place (IPA contract §1.5).
    pub turn: tokio::sync::Mutex<()>,
    current: Mutex<Option<Arc<JobContext>>>,
    node: Mutex<Option<Value>>,
    deployed: Mutex<Option<Deployed>>,
    image_policy: Mutex<ImagePolicy>,
    ipa: Option<IpaFace>,
    preparing: AtomicBool,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("node_uuid", &self.node_uuid).finish_non_exhaustive()
    }
}

impl Agent {
    /// Sets everything up; to be called on a tokio runtime, when the agent listens.
    ///
    /// # Errors
    ///
    /// When the state directory cannot be made.
    pub fn new(options: AgentOptions) -> Result<Arc<Self>, JournalError> {
        let boot_id = boot_id();
        let events = Arc::new(EventLog::new(boot_id.clone()));
        let journal = Journal::new(&options.state_dir, &boot_id)?;
        let machine = Machine::new(Roots::default(), options.disks);
        let access = Access::new(&options.state_dir, &boot_id, options.token);
        // Before anybody hears what was interrupted: who tries again would share the disk with it. A closed agent
        // writes nothing more, and what runs beside it is somebody else's.
        if access.closed().borrow().is_none()
            && let Err(error) = tacit_hardware::end_strays(init::is_supervised().then_some(1))
        {
            tracing::error!("{error}");
        }
        Ok(Arc::new_cyclic(|agent: &Weak<Self>| Self {
            node_uuid: options.node_uuid,
            managers: managers(&machine, agent.clone(), options.hardware_managers),
            access,
            rescue: options.rescue,
            boot_id,
            machine,
            image_policy: Mutex::new(options.image_policy),
            ipa: options.ipa,
            jobs: Jobs::resume(journal, events.clone()),
            events,
            lends: Arc::default(),
            power: if options.owns_machine { Power::Machine } else { Power::recorded() },
            clock: if options.owns_machine { Clock::Machine } else { Clock::recorded() },
            timeline: Timeline::listening(options.process_start),
            logs: options.logs,
            runtime: Handle::current(),
            turn: tokio::sync::Mutex::default(),
            current: Mutex::default(),
            node: Mutex::default(),
            deployed: Mutex::default(),
            preparing: AtomicBool::new(false),
        }))
    }

    /// Waits for drivers and asks the hardware managers, on a thread of its own: who gives commands that must be
    /// answered soon can wait until it is over.
    pub(crate) fn prepare(self: &Arc<Self>) {
        self.preparing.store(true, Ordering::SeqCst);
        let agent = self.clone();
        let work = move || {
            wait_for_devices();
            agent.managers.load();
            agent.preparing.store(false, Ordering::SeqCst);
        };
        if let Err(error) = std::thread::Builder::new().name("prepare".into()).spawn(work) {
            tracing::error!("no thread to look at the hardware: {error}");
            self.preparing.store(false, Ordering::SeqCst);
        }
    }

    /// Whether a command would wait for drivers or hardware managers now.
    pub fn is_preparing(&self) -> bool {
        self.preparing.load(Ordering::SeqCst)
    }

    /// The node that this machine is, as far as that was told; empty before.
    pub fn node_uuid(&self) -> String {
        if !self.node_uuid.is_empty() {
            return self.node_uuid.clone();
        }
        self.node().get("uuid").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// What the node's operator wants of images.
    pub fn image_policy(&self) -> ImagePolicy {
        self.image_policy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_md5_enabled(&self, enabled: bool) {
        self.image_policy.lock().unwrap_or_else(PoisonError::into_inner).md5_enabled = enabled;
    }

    /// In IPA's place: what of its configuration commands need.
    pub fn ipa(&self) -> Option<&IpaFace> {
        self.ipa.as_ref()
    }

    /// Whether there is anybody who may use `/v2`.
    pub fn serves_v2(&self) -> bool {
        self.ipa.as_ref().is_none_or(|ipa| ipa.obeys_certificates)
    }

    /// Facts by which the conductor recognises this machine.
    pub fn identity(&self) -> Identity {
        let identity = self.machine.identity();
        Identity {
            system_uuid: identity.system_uuid,
            serial_number: identity.serial,
            mac_addresses: identity.macs,
        }
    }

    /// The running operation, for code that the dispatch of steps lies between.
    pub fn current(&self) -> Option<Arc<JobContext>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_current(&self, job: Option<Arc<JobContext>>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = job;
    }

    /// The node as the conductor sent it last; `null` before.
    pub fn node(&self) -> Value {
        self.node.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or(Value::Null)
    }

    pub fn remember_node(&self, node: &Value) {
        *self.node.lock().unwrap_or_else(PoisonError::into_inner) = Some(node.clone());
    }

    pub fn deployed(&self) -> Option<Deployed> {
        self.deployed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_deployed(&self, deployed: Option<Deployed>) {
        *self.deployed.lock().unwrap_or_else(PoisonError::into_inner) = deployed;
    }
}

/// All managers there may be on this machine; which of them it has is asked later, when the drivers are loaded.
pub(crate) fn managers(machine: &Machine, agent: Weak<Agent>, folder: PathBuf) -> Managers {
    let roots = machine.roots();
    let built_in: Vec<Arc<dyn tacit_hardware::HardwareManager>> = vec![
        Arc::new(GenericHardwareManager::new(machine.clone())),
        Arc::new(ImagingHardwareManager::new(agent)),
        Arc::new(MellanoxDeviceHardwareManager::new(roots)),
        Arc::new(IntelCnaHardwareManager::new(roots)),
    ];
    let managers = Managers::with_external(built_in, folder);
    managers.attach(machine);
    managers
}
