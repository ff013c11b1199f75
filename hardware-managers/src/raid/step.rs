//! The steps `create_configuration`, `delete_configuration` and `apply_configuration`.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tacit_model::Proof;

use super::config::RaidConfig;
use super::create::{self, Cleared};
use super::delete;
use super::error::RaidError;
use super::job::Raid;
use super::judge::Fate;
use super::mdadm::{Md, Mdadm};
use super::start::start_with;
use crate::machine::Machine;
use crate::managers::{Argument, DRY_RUN, StepContext, StepError, StepSpecification};
use crate::wipe::{SkipList, guards_shared};

const CREATE: StepSpecification = StepSpecification {
    name: "create_configuration",
    interface: "raid",
    clean: Some(0),
    deploy: None,
    service: Some(0),
    abortable: true,
    arguments: &[DRY_RUN],
    run: create_configuration,
};

const DELETE: StepSpecification =
    StepSpecification { name: "delete_configuration", run: delete_configuration, ..CREATE };

pub(crate) const STEPS: &[StepSpecification] = &[
    CREATE,
    DELETE,
    StepSpecification {
        name: "apply_configuration",
        clean: None,
        deploy: Some(0),
        abortable: false,
        arguments: &[
            Argument {
                name: "raid_config",
                description: "The RAID configuration to apply, as target_raid_config.",
                required: true,
            },
            Argument {
                name: "delete_existing",
                description: "Whether existing software RAID is removed first; true when not given.",
                required: false,
            },
            DRY_RUN,
        ],
        run: apply_configuration,
        ..CREATE
    },
];

fn create_configuration(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    run(machine, context, &Mdadm, Work { config: Some(&context.node["target_raid_config"]), delete: false })
}

fn delete_configuration(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    run(machine, context, &Mdadm, Work { config: None, delete: true })
}

fn apply_configuration(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    run(machine, context, &Mdadm, apply_work(context)?)
}

fn apply_work<'a>(context: &StepContext<'a>) -> Result<Work<'a>, StepError> {
    let invalid = |parameter: &str, problem: String| StepError::InvalidParameter {
        parameter: parameter.to_owned(),
        problem,
    };
    let config = context
        .args
        .get("raid_config")
        .filter(|config| config.is_object())
        .ok_or_else(|| invalid("raid_config", "must be given, and be an object".to_owned()))?;
    let delete = match context.args.get("delete_existing") {
        None | Some(Value::Null) => true,
        Some(Value::Bool(delete)) => *delete,
        Some(other) => return Err(invalid("delete_existing", format!("must be true or false, not {other}"))),
    };
    Ok(Work { config: Some(config), delete })
}

/// What a step is to do: remove what is there, make what is wanted, or both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work<'a> {
    pub(super) config: Option<&'a Value>,
    pub(super) delete: bool,
}

pub(super) fn run(
    machine: &Machine,
    context: &StepContext<'_>,
    md: &dyn Md,
    work: Work<'_>,
) -> Result<Value, StepError> {
    let skip = SkipList::from_node(context.node).map_err(|error| StepError::InvalidParameter {
        parameter: "properties.skip_block_devices".to_owned(),
        problem: error.to_string(),
    })?;
    let guarded = guards_shared(context.node);
    let observer = context.observer;
    let raid = Raid { machine, md, skip, observer, guarded, touched: AtomicBool::new(false) };
    let outcome = if context.dry_run()? {
        dry_run(&raid, context.node, work)
    } else {
        execute(&raid, context.node, work)
    };
    outcome.map_err(|error| error.into_step(raid.touched.load(Ordering::Relaxed)))
}

/// The configuration, checked before anything else: what is wrong must not cost the arrays that are there.
fn parse(raid: &Raid<'_>, work: Work<'_>) -> Result<Option<RaidConfig>, RaidError> {
    let Some(config) = work.config else { return Ok(None) };
    RaidConfig::parse(config, raid.skip.has_volumes()).map_err(|problems| RaidError::Refused { problems })
}

fn dry_run(raid: &Raid<'_>, node: &Value, work: Work<'_>) -> Result<Value, RaidError> {
    let config = parse(raid, work)?;
    let delete = if work.delete { Some(delete::plan(raid)?) } else { None };
    let (mut disks, mut arrays) = (Vec::new(), Vec::new());
    if let Some(plan) = &delete {
        disks = plan.cleared();
        let removed = plan.arrays.iter().filter(|array| array.fate == Fate::Delete);
        arrays = removed.map(|array| array.array.device.as_str()).collect();
    }
    let cleared = Cleared { disks: &disks, arrays: &arrays };
    let create = config.map(|config| create::plan(raid, config, node, cleared)).transpose()?;
    Ok(json!({"plan": {"delete": delete, "create": create}}))
}

fn execute(raid: &Raid<'_>, node: &Value, work: Work<'_>) -> Result<Value, RaidError> {
    let config = parse(raid, work)?;
    if work.config.is_some() && config.is_none() {
        return Ok(json!({}));
    }
    // What is kept is known by its running.
    start_with(raid.machine, &raid.skip, raid.md);
    if work.delete && config.is_some() {
        // What cannot be made afterwards is found out while the arrays of before still stand.
        dry_run(raid, node, work)?;
    }
    let mut proofs: Vec<Proof> = Vec::new();
    if work.delete {
        proofs.extend(delete::delete(raid)?);
        raid.machine.forget_root_volumes();
    }
    let (Some(config), Some(given)) = (config, work.config) else {
        return Ok(json!({ "proofs": proofs }));
    };
    let plan = create::plan(raid, config, node, Cleared::default())?;
    let made = create::create(raid, &plan)?;
    for array in &made {
        if let Some(is_root) = array.is_root {
            raid.machine.set_root_volume(&array.device, is_root);
        }
    }
    proofs.extend(made.into_iter().map(|made| made.proof));
    // Ironic stores what is returned as the node's raid_config.
    let mut result = given.clone();
    result["proofs"] = json!(proofs);
    Ok(result)
}
