//! The table of commands.

use std::sync::Arc;

use serde_json::{Map, Value};
use tacit_protocol::medium::ImagePolicy;

use super::signature::Signature;
use super::{bootc, bootloader, flow, image_info, inventory, logs, node_info, standby, steps, system};
use crate::agent::Agent;
use crate::jobs::{CommandError, JobContext};

/// Whether `/v1` answers at once or when the command is over (IPA contract §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sync,
    Async,
}

/// What a command is run with.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) agent: &'a Arc<Agent>,
    pub(super) params: &'a Map<String, Value>,
    pub(super) job: &'a Arc<JobContext>,
    /// In how many flows it lies.
    pub(super) depth: usize,
}

type Parameters = Map<String, Value>;

/// A command.
pub struct CommandSpec {
    /// `extension.command`.
    pub name: &'static str,
    pub kind: Kind,
    pub(super) signature: Signature,
    pub(super) validate: fn(&Parameters, &ImagePolicy) -> Result<(), CommandError>,
    pub(super) run: fn(&Call<'_>) -> Result<Value, CommandError>,
}

impl std::fmt::Debug for CommandSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommandSpec").field("name", &self.name).field("kind", &self.kind).finish()
    }
}

/// No such command.
#[derive(Debug)]
pub enum LookupError {
    Extension(String),
    Command(String),
}

const STEPS: Signature = Signature { required: &["node", "ports"], optional: &[], open: false };

fn anything(_: &Parameters, _: &ImagePolicy) -> Result<(), CommandError> {
    Ok(())
}

const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "standby.prepare_image",
        kind: Kind::Async,
        signature: Signature { required: &[], optional: &["image_info", "configdrive"], open: false },
        validate: image_info::validate_prepare_image,
        run: standby::prepare_image,
    },
    CommandSpec {
        name: "standby.sync",
        kind: Kind::Sync,
        signature: Signature::NONE,
        validate: anything,
        run: standby::sync,
    },
    CommandSpec {
        name: "standby.power_off",
        kind: Kind::Async,
        signature: Signature::NONE,
        validate: anything,
        run: standby::power_off,
    },
    CommandSpec {
        name: "standby.run_image",
        kind: Kind::Async,
        signature: Signature::NONE,
        validate: anything,
        run: standby::run_image,
    },
    CommandSpec {
        name: "standby.get_partition_uuids",
        kind: Kind::Sync,
        signature: Signature::NONE,
        validate: anything,
        run: standby::get_partition_uuids,
    },
    CommandSpec {
        name: "standby.execute_bootc_install",
        kind: Kind::Async,
        signature: Signature {
            required: &["image_source"],
            optional: &["instance_info", "pull_secret", "configdrive"],
            open: false,
        },
        validate: anything,
        run: bootc::execute_bootc_install,
    },
    CommandSpec {
        name: "deploy.get_deploy_steps",
        kind: Kind::Sync,
        signature: STEPS,
        validate: anything,
        run: |call| steps::DEPLOY.list(call),
    },
    CommandSpec {
        name: "deploy.execute_deploy_step",
        kind: Kind::Async,
        signature: Signature {
            required: &["step", "node", "ports"],
            optional: &["deploy_version"],
            open: true,
        },
        validate: anything,
        run: |call| steps::DEPLOY.execute(call),
    },
    CommandSpec {
        name: "clean.get_clean_steps",
        kind: Kind::Sync,
        signature: STEPS,
        validate: anything,
        run: |call| steps::CLEAN.list(call),
    },
    CommandSpec {
        name: "clean.execute_clean_step",
        kind: Kind::Async,
        signature: Signature {
            required: &["step", "node", "ports"],
            optional: &["clean_version"],
            open: true,
        },
        validate: anything,
        run: |call| steps::CLEAN.execute(call),
    },
    CommandSpec {
        name: "service.get_service_steps",
        kind: Kind::Sync,
        signature: STEPS,
        validate: anything,
        run: |call| steps::SERVICE.list(call),
    },
    CommandSpec {
        name: "service.execute_service_step",
        kind: Kind::Async,
        signature: Signature {
            required: &["step", "node", "ports"],
            optional: &["service_version"],
            open: true,
        },
        validate: anything,
        run: |call| steps::SERVICE.execute(call),
    },
    CommandSpec {
        name: "image.install_bootloader",
        kind: Kind::Async,
        signature: Signature {
            required: &["root_uuid"],
            optional: &[
                "efi_system_part_uuid",
                "prep_boot_part_uuid",
                "target_boot_mode",
                "ignore_bootloader_failure",
            ],
            open: false,
        },
        validate: anything,
        run: bootloader::install_bootloader,
    },
    CommandSpec {
        name: "poll.get_hardware_info",
        kind: Kind::Sync,
        signature: Signature::NONE,
        validate: anything,
        run: inventory::get_hardware_info,
    },
    CommandSpec {
        name: "poll.get_inspection_data",
        kind: Kind::Async,
        signature: Signature { required: &[], optional: &["collectors", "lldp_timeout"], open: false },
        validate: inventory::validate_inspection,
        run: inventory::get_inspection_data,
    },
    CommandSpec {
        name: "log.collect_system_logs",
        kind: Kind::Sync,
        signature: Signature::NONE,
        validate: anything,
        run: logs::collect_system_logs,
    },
    CommandSpec {
        name: "poll.set_node_info",
        kind: Kind::Sync,
        signature: Signature { required: &[], optional: &["node_info"], open: false },
        validate: node_info::validate,
        run: node_info::set_node_info,
    },
    CommandSpec {
        name: "rescue.finalize_rescue",
        kind: Kind::Sync,
        signature: Signature { required: &[], optional: &["rescue_password", "hashed"], open: false },
        validate: anything,
        run: system::finalize_rescue,
    },
    CommandSpec {
        name: "system.lockdown",
        kind: Kind::Sync,
        signature: Signature::NONE,
        validate: anything,
        run: system::lockdown,
    },
    CommandSpec {
        name: "flow.start_flow",
        kind: Kind::Async,
        signature: Signature { required: &[], optional: &["flow"], open: false },
        validate: flow::validate,
        run: flow::start_flow,
    },
];

/// Finds a command by its dotted name.
pub fn find(name: &str) -> Result<&'static CommandSpec, LookupError> {
    if let Some(spec) = COMMANDS.iter().find(|spec| spec.name == name) {
        return Ok(spec);
    }
    let (extension, command) = name.split_once('.').unwrap_or((name, ""));
    let known =
        COMMANDS.iter().any(|spec| spec.name.split_once('.').is_some_and(|(known, _)| known == extension));
    Err(if known {
        LookupError::Command(format!("Unknown command: {command}"))
    } else {
        LookupError::Extension(format!("Extension with id {extension} not found."))
    })
}

/// Looks at the parameters before a command is started.
///
/// # Errors
///
/// What the command's own validator says; for names that it does not take a `TypeError`, or for asynchronous commands
/// what IPA makes of it.
pub fn check(
    spec: &CommandSpec,
    params: &Map<String, Value>,
    policy: &ImagePolicy,
) -> Result<(), CommandError> {
    (spec.validate)(params, policy)?;
    spec.signature.check(spec.name, spec.kind, params)
}
