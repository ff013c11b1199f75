use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tacit_model::{EraseStandard, Proof, ProofResult};
use uuid::Uuid;

use crate::node::Node;
use crate::pki::Signed;
use crate::store::now_iso;

/// Version of the certificates' shape.
const VERSION: u32 = 1;

/// `kind` of a statement that a device was erased, or its metadata removed.
pub const CERTIFICATE: &str = "certificate-of-erasure";
/// `kind` of a statement that an erasure did not erase a device.
pub const NOT_ERASED: &str = "device-not-erased";

/// A certificate as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Issued {
    /// What is stated; the same bytes are signed in `jws`.
    pub certificate: Value,
    /// Flattened JSON Web Signature (RFC 7515, 7.2.2).
    pub jws: Signed,
}

/// A statement that a device was not erased: beside certificates, never among them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NotErased {
    /// What is stated; the same bytes are signed in `jws`.
    pub statement: Value,
    /// As of [`Issued`].
    pub jws: Signed,
}

/// All that is stated of a node's devices, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Erasures {
    pub erasures: Vec<Issued>,
    #[serde(default)]
    pub not_erased: Vec<NotErased>,
}

impl FromIterator<Signed> for Erasures {
    fn from_iter<T: IntoIterator<Item = Signed>>(signed: T) -> Self {
        let mut all = Self::default();
        for jws in signed {
            let statement = jws.statement().unwrap_or_default();
            if statement["kind"] == CERTIFICATE {
                all.erasures.push(Issued { certificate: statement, jws });
            } else {
                all.not_erased.push(NotErased { statement, jws });
            }
        }
        all
    }
}

/// How many of these are certificates.
pub fn certified(statements: &[Signed]) -> usize {
    let kinds = statements.iter().filter_map(Signed::statement);
    kinds.filter(|statement| statement["kind"] == CERTIFICATE).count()
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

/// One statement for each device of an erasure: a certificate where it was erased, or its metadata removed; else that it
/// was not. What other steps prove gets none. Shape: `kind`, `version`, `id`, `issued_at`, `issuer`, `node`, `step`,
/// `manager`, `operation`, and the members of [`Proof`].
pub fn statements(issuer: &Issuer<'_>, proofs: &[Proof]) -> Vec<Value> {
    // Other steps prove things as well: boot entries, arrays, files.
    let named = issuer.step.starts_with("erase_devices");
    let reaches = |proof: &Proof| proof.standard != EraseStandard::None;
    let erasure = named || proofs.iter().any(reaches);
    let kind = |proof: &Proof| match proof.result {
        ProofResult::Proven => (named || reaches(proof)).then_some(CERTIFICATE),
        ProofResult::Skipped | ProofResult::Failed => erasure.then_some(NOT_ERASED),
    };
    proofs.iter().filter_map(|proof| Some(statement(issuer, kind(proof)?, proof))).collect()
}

fn statement(issuer: &Issuer<'_>, kind: &str, proof: &Proof) -> Value {
    let node = issuer.node;
    let fact = |name: &str| node.driver_internal_info.get(name).cloned().unwrap_or(Value::Null);
    let mut statement = json!({
        "kind": kind,
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

    fn kinds(step: &str, proofs: &[(EraseStandard, ProofResult)]) -> Vec<Value> {
        let node = Node::new("manual");
        let issuer = Issuer { conductor: "c", node: &node, step, manager: None, operation: "o" };
        let proof = |&(standard, result)| Proof { standard, result, ..Proof::default() };
        let proofs: Vec<Proof> = proofs.iter().map(proof).collect();
        statements(&issuer, &proofs).into_iter().map(|statement| statement["kind"].clone()).collect()
    }

    #[test]
    fn only_what_was_erased_is_certified_and_what_was_not_is_said() {
        use EraseStandard::{Clear, None};
        use ProofResult::{Failed, Proven, Skipped};
        assert_eq!(kinds("erase_devices_metadata", &[(None, Proven)]), [CERTIFICATE]);
        assert_eq!(kinds("erase_devices", &[(None, Skipped), (None, Failed)]), [NOT_ERASED, NOT_ERASED]);
        let own = "a_vendors_own_erase";
        assert_eq!(kinds(own, &[(Clear, Proven), (None, Failed)]), [CERTIFICATE, NOT_ERASED]);
        for step in ["clean_uefi_nvram", "inject_files"] {
            assert!(kinds(step, &[(None, Proven), (None, Failed)]).is_empty());
        }
    }
}
