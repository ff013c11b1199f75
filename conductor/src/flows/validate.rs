//! Whether a node's interfaces have what they need: `GET /v1/nodes/{ident}/validate`.

use std::path::Path;

use serde::Serialize;

use super::{address, image, ipa};
use crate::bmc::Bmc;
use crate::node::Node;

/// Result of validating one interface of a node.
#[derive(Clone, Debug, Serialize)]
pub struct Validation {
    pub result: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The interfaces in the order of Ironic's answer.
const INTERFACES: [&str; 12] = [
    "boot",
    "deploy",
    "management",
    "network",
    "power",
    "bios",
    "console",
    "firmware",
    "inspect",
    "raid",
    "rescue",
    "storage",
];

pub(super) fn validate(node: &Node, image_dir: &Path, has_medium: bool) -> Vec<(&'static str, Validation)> {
    INTERFACES.map(|name| (name, Validation::from(interface(name, node, image_dir, has_medium)))).into()
}

fn interface(name: &str, node: &Node, image_dir: &Path, has_medium: bool) -> Result<(), String> {
    match name {
        "power" | "management" => bmc(node),
        "boot" | "inspect" => boot(node, has_medium),
        "deploy" => deployable(node, image_dir),
        _ => Ok(()),
    }
}

pub(super) fn bmc(node: &Node) -> Result<(), String> {
    Bmc::for_node(&node.driver, &node.driver_info).map(drop).map_err(|error| error.to_string())
}

/// Whether the agent that the node has can write the image that it shall get.
pub(super) fn deployable(node: &Node, image_dir: &Path) -> Result<(), String> {
    let speaks_ipa = ipa::settings(node)?.is_some();
    let checked = if speaks_ipa { image::check_for_ipa(node) } else { image::check(node, image_dir) };
    checked.map_err(String::from)
}

/// What booting the ramdisk takes: a medium to boot and an address to find the agent at.
pub(super) fn boot(node: &Node, has_medium: bool) -> Result<(), String> {
    if ipa::settings(node)?.is_some() {
        ipa::medium(node)?;
        return address::agent_address(node).map(drop);
    }
    if !has_medium {
        return Err("this conductor was started without --media: there is no ramdisk to boot".into());
    }
    address::network_data(node)?;
    image::policy(node)?;
    address::agent_address(node).map(drop)
}

impl From<Result<(), String>> for Validation {
    fn from(result: Result<(), String>) -> Self {
        Self { result: result.is_ok(), reason: result.err() }
    }
}
