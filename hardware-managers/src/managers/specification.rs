//! The generic manager's steps as a table: each part of this crate names its own.

use std::collections::BTreeMap;

use serde_json::Value;
use tacit_model::{ArgInfo, Step};

use super::error::StepError;
use super::manager::{StepContext, StepFamily};
use crate::machine::Machine;

/// One step, with its priorities in cleaning, deployment and service; `None` where it is not offered.
pub(crate) struct StepSpecification {
    pub(crate) name: &'static str,
    pub(crate) interface: &'static str,
    pub(crate) clean: Option<i32>,
    pub(crate) deploy: Option<i32>,
    pub(crate) service: Option<i32>,
    pub(crate) abortable: bool,
    pub(crate) arguments: &'static [Argument],
    pub(crate) run: fn(&Machine, &StepContext<'_>) -> Result<Value, StepError>,
}

pub(crate) struct Argument {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) required: bool,
}

/// The argument of every step that destroys something.
pub(crate) const DRY_RUN: Argument = Argument {
    name: "dry_run",
    description: "Return the plan, with reasons, and touch nothing.",
    required: false,
};

impl StepSpecification {
    /// Its priority in a family; `None` where it is not offered.
    pub(super) fn priority(&self, family: StepFamily) -> Option<i32> {
        match family {
            StepFamily::Clean => self.clean,
            StepFamily::Deploy => self.deploy,
            StepFamily::Service => self.service,
        }
    }

    /// Whether it may change what is on disks, so that there is something to be tried without being done.
    pub(super) fn is_destructive(&self) -> bool {
        self.arguments.iter().any(|argument| argument.name == DRY_RUN.name)
    }

    /// As it is offered.
    pub(crate) fn offer(&self, priority: i32) -> Step {
        let arguments = self.arguments.iter().map(|argument| {
            let info = ArgInfo { description: argument.description.to_owned(), required: argument.required };
            (argument.name.to_owned(), info)
        });
        Step {
            interface: self.interface.to_owned(),
            step: self.name.to_owned(),
            priority,
            reboot_requested: false,
            abortable: self.abortable,
            argsinfo: arguments.collect::<BTreeMap<_, _>>(),
        }
    }
}
