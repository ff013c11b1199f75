//! Which manager is asked, and whose steps are offered (IPA contract §4).

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tacit_hardware::{
    GenericHardwareManager, HardwareManager, Managers, StepContext, StepError, StepFamily, StepObserver,
    StepOutcome, SupportLevel,
};
use tacit_model::{ProgressUnit, Step};

use crate::tree::Tree;

struct Fake {
    class: &'static str,
    level: SupportLevel,
    steps: Vec<(&'static str, i32)>,
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
    Fake { class, level, steps: steps.to_vec(), outcome }
}

fn run(managers: &Managers) -> Result<StepOutcome, StepError> {
    let (node, args) = (json!({}), Map::new());
    managers.run_step("any", &StepContext { node: &node, ports: &node, args: &args, observer: &Deaf })
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
fn generic_manager_offers_the_metadata_wipe() {
    let managers = Managers::new(vec![Arc::new(GenericHardwareManager::new(Tree::new().machine()))]);
    let expected = |priority: i32| {
        json!({"GenericHardwareManager": [{
            "interface": "deploy", "step": "erase_devices_metadata", "priority": priority,
            "reboot_requested": false, "abortable": true
        }]})
    };
    assert_eq!(json!(managers.clean_steps()), expected(99));
    assert_eq!(json!(managers.deploy_steps()), expected(0));
    assert_eq!(json!(managers.versions()), json!({"generic_hardware_manager": "1.2"}));
}
