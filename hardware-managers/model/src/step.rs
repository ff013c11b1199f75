//! A clean, deploy or service step as a hardware manager offers it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A step as `get_clean_steps` and `get_deploy_steps` return it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Ironic's interface name: `deploy`, `raid`, …
    pub interface: String,
    /// Name of the step, unique within the interface.
    pub step: String,
    /// Higher runs first; 0 runs only when asked for.
    pub priority: i32,
    #[serde(default)]
    pub reboot_requested: bool,
    #[serde(default)]
    pub abortable: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub argsinfo: BTreeMap<String, ArgInfo>,
}

/// What a step counts while it tells how far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgressUnit {
    #[default]
    Bytes,
    /// Places on a disk, each as good as done at once: what a wipe of metadata overwrites.
    Regions,
    /// What a drive says of work that it does by itself: parts of a whole that mean nothing but their ratio.
    Share,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArgInfo {
    pub description: String,
    #[serde(default)]
    pub required: bool,
}
