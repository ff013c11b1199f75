use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tacit_model::{EraseStandard, Proof, ProofResult};
use uuid::Uuid;

use crate::node::Node;
use crate::pki::Signed;
use crate::store::now_iso;

/// Version of the certificates' shape.
const VERSION: u32 = 1;

/// A certificate as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Issued {
    /// What is stated; the same bytes are signed in `jws`.
    pub certificate: Value,
    /// Flattened JSON Web Signature (RFC 7515, 7.2.2).
    pub jws: Signed,
}

impl From<Signed> for Issued {
    fn from(jws: Signed) -> Self {
        Self { certificate: jws.statement().unwrap_or_default(), jws }
    }
}

/// Who states it, and on what occasion.
#[derive(Clone, Copy, Debug)]
pub struct Issuer<'a> {
    pub conductor: &'a str,
    pub node: &'a Node,
    pub step: &'a str,
    /// Class of the hardware manager whose step ran.
    pub manager: Option<&'a str>,
    /// Id under which the agent ran it: what has the same was done together.
    pub operation: &'a str,
}

/// One statement for each device that was erased, or of which metadata was removed. What was left alone, and what other
/// steps prove, gets none. Shape: `kind`, `version`, `id`, `issued_at`, `issuer`, `node`, `step`, `manager`, `operation`, and
/// the members of [`Proof`].
pub fn certificates(issuer: &Issuer<'_>, proofs: &[Proof]) -> Vec<Value> {
    // Other steps prove things as well: boot entries, arrays, files.
    let erases =
        |proof: &Proof| issuer.step.starts_with("erase_devices") || proof.standard != EraseStandard::None;
    let proven = proofs.iter().filter(|proof| proof.result == ProofResult::Proven && erases(proof));
    proven.map(|proof| statement(issuer, proof)).collect()
}

fn statement(issuer: &Issuer<'_>, proof: &Proof) -> Value {
    let node = issuer.node;
    let fact = |name: &str| node.driver_internal_info.get(name).cloned().unwrap_or(Value::Null);
    let mut statement = json!({
        "kind": "certificate-of-erasure",
        "version": VERSION,
        "id": Uuid::new_v4(),
        "issued_at": now_iso(),
        "issuer": issuer.conductor,
        "node": {
            "uuid": node.uuid,
            "name": node.name,
            "system_uuid": fact("system_uuid"),
            "system_serial": fact("system_serial"),
            "system_model": fact("system_model"),
        },
        "step": issuer.step,
        "manager": issuer.manager,
        "operation": issuer.operation,
        "agent_version": fact("agent_version"),
    });
    let proof: Map<String, Value> = match serde_json::to_value(proof) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    if let Value::Object(members) = &mut statement {
        members.extend(proof);
    }
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(step: &str, standard: EraseStandard, result: ProofResult) -> usize {
        let node = Node::new("manual");
        let issuer = Issuer { conductor: "c", node: &node, step, manager: None, operation: "o" };
        certificates(&issuer, &[Proof { standard, result, ..Proof::default() }]).len()
    }

    #[test]
    fn only_what_was_erased_is_certified() {
        use EraseStandard::{Clear, None};
        use ProofResult::{Proven, Skipped};
        assert_eq!(count("erase_devices_metadata", None, Proven), 1);
        assert_eq!(count("a_vendors_own_erase", Clear, Proven), 1);
        assert_eq!(count("erase_devices", Clear, Skipped), 0);
        assert_eq!(count("clean_uefi_nvram", None, Proven), 0);
        assert_eq!(count("inject_files", None, Proven), 0);
    }
}
