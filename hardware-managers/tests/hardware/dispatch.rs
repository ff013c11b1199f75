//! Which manager is asked, and whose steps are offered (IPA contract §4).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tacit_hardware::{
    DeviceAnswer, DeviceKind, GenericHardwareManager, HardwareManager, Machine, Managers,
    MellanoxDeviceHardwareManager, StepContext, StepError, StepFamily, StepObserver, StepOutcome,
    SupportLevel,
};
use tacit_model::{ProgressUnit, Proof, ProofResult, Step};

use crate::tree::Tree;

struct Fake {
    class: &'static str,
    level: SupportLevel,
    steps: Vec<(&'static str, i32)>,
    /// That its steps are for.
    family: StepFamily,
    outcome: Result<Value, StepError>,
}

impl HardwareManager for Fake {
    fn name(&self) -> &str {
        self.class
    }
    fn class(&self) -> &str {
        self.class
    }
    fn version(&self) -> &str {
        "1"
    }
    fn evaluate_hardware_support(&self) -> SupportLevel {
        self.level
    }
    fn steps(&self, family: StepFamily, _: &Value, _: &Value) -> Result<Vec<Step>, StepError> {
        Ok(if family == self.family { self.clean_steps() } else { Vec::new() })
    }
    fn clean_steps(&self) -> Vec<Step> {
        self.steps
            .iter()
            .map(|(name, priority)| Step {
                interface: "deploy".into(),
                step: (*name).into(),
                priority: *priority,
                reboot_requested: false,
                abortable: false,
                argsinfo: Default::default(),
            })
            .collect()
    }
    fn deploy_steps(&self) -> Vec<Step> {
        Vec::new()
    }
    fn run_step(&self, _: &str, _: &StepContext<'_>) -> Result<Value, StepError> {
        self.outcome.clone()
    }
}

struct Deaf;

impl StepObserver for Deaf {
    fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: ProgressUnit) {}
    fn cancelled(&self) -> bool {
        false
    }
}

fn fake(class: &'static str, level: SupportLevel, steps: &[(&'static str, i32)]) -> Fake {
    let outcome = Err(StepError::Unsupported { manager: class.into(), step: "any".into() });
    Fake { class, level, steps: steps.to_vec(), family: StepFamily::Clean, outcome }
}

fn run(managers: &Managers) -> Result<StepOutcome, StepError> {
    let (node, args) = (json!({}), Map::new());
    let context = StepContext { node: &node, ports: &node, args: &args, observer: &Deaf };
    managers.run_step(StepFamily::Clean, "any", &context)
}

fn by(manager: &str, result: Value) -> Result<StepOutcome, StepError> {
    Ok(StepOutcome { manager: manager.to_owned(), result })
}

#[test]
fn duplicate_steps_go_to_the_higher_level_then_priority_then_name() {
    let managers = Managers::new(vec![
        Arc::new(fake("C", SupportLevel::Generic, &[("a", 99), ("b", 5), ("c", 5), ("own", 1)])),
        Arc::new(fake("B", SupportLevel::Generic, &[("b", 7), ("c", 5)])),
        Arc::new(fake("M", SupportLevel::Mainline, &[("a", 0)])),
        Arc::new(fake("X", SupportLevel::None, &[("x", 1)])),
    ]);
    let steps = managers.steps(StepFamily::Clean, &json!({}), &json!([])).unwrap();
    let names = |class: &str| steps[class].iter().map(|step| step.step.as_str()).collect::<Vec<_>>();
    assert_eq!((names("C"), names("B"), names("M")), (vec!["own"], vec!["b", "c"], vec!["a"]));
    assert!(!steps.contains_key("X") && !managers.versions().contains_key("X"));
}

#[test]
fn best_manager_that_has_the_step_runs_it() {
    let generic = Fake { outcome: Ok(json!("generic")), ..fake("G", SupportLevel::Generic, &[]) };
    let vendor = fake("V", SupportLevel::ServiceProvider, &[]);
    assert_eq!(run(&Managers::new(vec![Arc::new(generic), Arc::new(vendor)])), by("G", json!("generic")));

    let generic = Fake { outcome: Ok(json!("generic")), ..fake("G", SupportLevel::Generic, &[]) };
    let failing = StepError::Cancelled { done: 0, total: 1 };
    let vendor = Fake { outcome: Err(failing.clone()), ..fake("V", SupportLevel::Mainline, &[]) };
    assert_eq!(run(&Managers::new(vec![Arc::new(generic), Arc::new(vendor)])), Err(failing));

    let error = run(&Managers::new(vec![Arc::new(fake("G", SupportLevel::Generic, &[]))])).unwrap_err();
    assert_eq!((error.class(), error.code()), ("HardwareManagerMethodNotFound", 500));
    assert!(error.details().contains("any"));
}

#[test]
fn the_step_that_is_listed_is_the_one_that_is_run() {
    let of = |class, level, family, priority| {
        let outcome = Ok(json!(class));
        Arc::new(Fake { outcome, family, ..fake(class, level, &[("any", priority)]) })
    };
    let (clean, service) = (StepFamily::Clean, StepFamily::Service);
    let (generic, mainline) = (SupportLevel::Generic, SupportLevel::Mainline);
    for (managers, listed) in [
        ([of("B", generic, clean, 0), of("C", generic, clean, 0)], "B"),
        // Priority counts for more than the name, and only what is listed in the family counts at all.
        ([of("B", generic, clean, 0), of("C", generic, clean, 1)], "C"),
        ([of("C", generic, clean, 0), of("B", mainline, service, 9)], "C"),
        ([of("C", generic, clean, 9), of("B", mainline, clean, 0)], "B"),
    ] {
        let managers = Managers::new(managers.map(|manager| manager as Arc<dyn HardwareManager>).into());
        let steps = managers.steps(clean, &json!({}), &json!([])).unwrap();
        let classes = steps.iter().filter(|(_, steps)| !steps.is_empty()).map(|(class, _)| class);
        assert_eq!(classes.collect::<Vec<_>>(), [listed]);
        assert_eq!(run(&managers), by(listed, json!(listed)));
    }
}

#[test]
fn generic_manager_offers_ipa_s_steps() {
    let managers = Managers::new(vec![Arc::new(GenericHardwareManager::new(Tree::new().machine()))]);
    for (family, priority) in [(StepFamily::Clean, 99), (StepFamily::Deploy, 0)] {
        let steps = managers.steps(family, &json!({}), &json!([])).unwrap();
        let metadata = steps["GenericHardwareManager"]
            .iter()
            .find(|step| step.step == "erase_devices_metadata")
            .unwrap();
        assert_eq!((metadata.priority, metadata.interface.as_str()), (priority, "deploy"));
        assert!(metadata.abortable && !metadata.reboot_requested);
    }
    assert_eq!(json!(managers.versions()), json!({"generic_hardware_manager": "1.2"}));
}

/// One that says something to devices, and notes when it is initialised.
struct Filter {
    class: &'static str,
    level: SupportLevel,
    answer: fn(&Value) -> DeviceAnswer,
    initialised: Arc<Mutex<Vec<&'static str>>>,
    evaluated: AtomicUsize,
}

fn filter(
    class: &'static str,
    level: SupportLevel,
    initialised: &Arc<Mutex<Vec<&'static str>>>,
    answer: fn(&Value) -> DeviceAnswer,
) -> Arc<Filter> {
    Arc::new(Filter {
        class,
        level,
        answer,
        initialised: initialised.clone(),
        evaluated: AtomicUsize::new(0),
    })
}

impl HardwareManager for Filter {
    fn name(&self) -> &str {
        self.class
    }
    fn class(&self) -> &str {
        self.class
    }
    fn version(&self) -> &str {
        "1"
    }
    fn evaluate_hardware_support(&self) -> SupportLevel {
        self.evaluated.fetch_add(1, Ordering::Relaxed);
        self.level
    }
    fn initialize(&self) -> Result<(), StepError> {
        self.initialised.lock().unwrap().push(self.class);
        Ok(())
    }
    fn clean_steps(&self) -> Vec<Step> {
        Vec::new()
    }
    fn deploy_steps(&self) -> Vec<Step> {
        Vec::new()
    }
    fn run_step(&self, step: &str, _: &StepContext<'_>) -> Result<Value, StepError> {
        Err(StepError::Unsupported { manager: self.class.into(), step: step.into() })
    }
    fn filter_devices(&self, kind: DeviceKind, devices: &[Value]) -> Result<Vec<DeviceAnswer>, StepError> {
        match kind {
            DeviceKind::Disk => Ok(devices.iter().map(self.answer).collect()),
            _ => Err(StepError::Unsupported { manager: self.class.into(), step: "filter_device".into() }),
        }
    }
}

#[test]
fn the_first_that_says_something_about_a_device_decides() {
    let tree = Tree::new();
    for name in ["vda", "vdb", "vdc"] {
        tree.disk(name, 8 << 20);
    }
    let machine = tree.machine();
    let order = Arc::new(Mutex::new(Vec::new()));
    // The best one hides a disk and describes another; the next one hides all that it is asked about but one.
    let best =
        filter("Best", SupportLevel::Beyond(7), &order, |device| match device["name"].as_str().unwrap() {
            "/dev/vda" => DeviceAnswer::Hide("mine".into()),
            "/dev/vdb" => {
                let mut other = device.clone();
                other["model"] = json!("Best");
                DeviceAnswer::Replace(other)
            }
            _ => DeviceAnswer::Pass,
        });
    let next = filter("Next", SupportLevel::ServiceProvider, &order, |device| {
        assert_eq!(device["name"], "/dev/vdc");
        DeviceAnswer::Pass
    });
    let absent = filter("Absent", SupportLevel::None, &order, |_| panic!("it is not of this machine"));
    let managers = Managers::new(vec![absent.clone(), next.clone(), best.clone()]);
    managers.attach(&machine);
    let shown: Vec<(String, Option<String>)> =
        machine.clone().disks().into_iter().map(|disk| (disk.name, disk.model)).collect();
    assert_eq!(shown, [("/dev/vdb".into(), Some("Best".into())), ("/dev/vdc".into(), None)]);
    machine.disks();
    assert_eq!(*order.lock().unwrap(), ["Best", "Next"]);
    assert!([best, next, absent].iter().all(|manager| manager.evaluated.load(Ordering::Relaxed) == 1));
}

/// Erases what it finds at its start; later nobody can say any more which disks there are.
struct Forgetful(Machine);

impl HardwareManager for Forgetful {
    fn name(&self) -> &str {
        "forgetful"
    }
    fn class(&self) -> &str {
        "Forgetful"
    }
    fn version(&self) -> &str {
        "1"
    }
    fn evaluate_hardware_support(&self) -> SupportLevel {
        SupportLevel::Generic
    }
    fn clean_steps(&self) -> Vec<Step> {
        Vec::new()
    }
    fn deploy_steps(&self) -> Vec<Step> {
        Vec::new()
    }
    fn run_step(&self, _: &str, _: &StepContext<'_>) -> Result<Value, StepError> {
        let erased = Proof { device: "/dev/vda".into(), result: ProofResult::Proven, ..Proof::default() };
        assert!(self.0.disks().is_empty(), "shown although the filter failed");
        Ok(json!({"proofs": [erased], "disks": 1}))
    }
    fn filter_devices(&self, _: DeviceKind, _: &[Value]) -> Result<Vec<DeviceAnswer>, StepError> {
        Err(StepError::Cancelled { done: 0, total: 1 })
    }
}

#[test]
fn proofs_outlive_a_filter_that_fails_meanwhile() {
    let tree = Tree::new();
    tree.disk("vda", 8 << 20);
    let machine = tree.machine();
    let managers = Managers::new(vec![Arc::new(Forgetful(machine.clone()))]);
    managers.attach(&machine);
    let error = run(&managers).unwrap_err();
    assert_eq!(
        (error.class(), error.code(), error.retry()),
        ("HardwareManagerConfigurationError", 500, false)
    );
    assert!(error.details().contains("filter_device (disk) of hardware manager forgetful"), "{error}");
    assert!(error.disk_touched());
    assert_eq!(error.proofs()[0].device, "/dev/vda");
}

#[test]
fn all_managers_are_asked_and_one_failure_is_the_outcome() {
    let good = || Arc::new(fake("A", SupportLevel::Generic, &[]));
    let managers = Managers::new(vec![good(), Arc::new(fake("B", SupportLevel::Mainline, &[]))]);
    let unsupported = || StepError::Unsupported { manager: "any".into(), step: "m".into() };
    let classes = |wanted: &'static [&'static str]| {
        managers.every("m", |manager| {
            let class = manager.class();
            if wanted.contains(&class) { Ok(class.to_lowercase()) } else { Err(unsupported()) }
        })
    };
    assert_eq!(json!(classes(&["A", "B"]).unwrap()), json!({"A": "a", "B": "b"}));
    assert_eq!(json!(classes(&["A"]).unwrap()), json!({"A": "a"}));
    assert_eq!(classes(&[]), Err(StepError::NoManager { step: "m".into() }));
    let failure = StepError::Cancelled { done: 0, total: 1 };
    let outcome = managers.every("m", |manager| match manager.class() {
        "B" => Err(failure.clone()),
        class => Ok(class.to_owned()),
    });
    assert_eq!(outcome, Err(failure.clone()));
    // The first outcome that is not "not mine" counts, whatever it is.
    let first = managers.first("m", |manager| match manager.class() {
        "B" => Err::<(), _>(failure.clone()),
        class => panic!("{class} is not the best one"),
    });
    assert_eq!(first, Err(failure));
}

#[test]
fn mellanox_adapters_bring_their_manager() {
    let tree = Tree::new();
    let level = || MellanoxDeviceHardwareManager::new(&tree.roots()).evaluate_hardware_support();
    tree.write("sys/class/net/eth0/device/vendor", "0x8086\n");
    assert_eq!(level(), SupportLevel::None);
    tree.write("sys/class/net/ib0/device/vendor", "0x15b3\n");
    assert_eq!(level(), SupportLevel::Mainline);
}
