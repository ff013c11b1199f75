//! Filters of the node list (API contract §2.2).

use uuid::Uuid;

use super::call::Call;
use super::fault::Fault;
use super::version::Version;
use crate::node::Node;
use crate::states::ProvisionState;

/// Whether a node passes.
type Test = Box<dyn Fn(&Node) -> bool>;

/// Query arguments that filter, and the version that brought them.
const FILTERS: [(&str, u16); 19] = [
    ("instance_uuid", 1),
    ("instance_name", 104),
    ("chassis_uuid", 1),
    ("associated", 1),
    ("maintenance", 1),
    ("retired", 61),
    ("provision_state", 9),
    ("driver", 16),
    ("resource_class", 21),
    ("fault", 42),
    ("conductor_group", 46),
    ("conductor", 49),
    ("owner", 50),
    ("lessee", 65),
    ("project", 65),
    ("description_contains", 51),
    ("shard", 82),
    ("sharded", 82),
    ("parent_node", 83),
];

/// All names of filters, for the check of unknown arguments.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FILTERS.iter().map(|(name, _)| *name).chain(["include_children"])
}

/// Keeps the nodes that pass all filters of the request.
pub(super) fn apply(call: &Call, conductor: &str, nodes: Vec<Node>) -> Result<Vec<Node>, Fault> {
    let mut tests: Vec<Test> = Vec::new();
    for (name, since) in FILTERS {
        let Some(value) = call.argument(name) else { continue };
        if call.version < Version(since) {
            return Err(Fault::too_new());
        }
        tests.push(test(call, conductor, name, value)?);
    }
    // Children are listed only where the request asks for them.
    let with_children =
        call.flag("include_children")?.unwrap_or(false) || call.argument("parent_node").is_some();
    if !with_children {
        tests.push(Box::new(|node| node.parent_node.is_none()));
    }
    Ok(nodes.into_iter().filter(|node| tests.iter().all(|test| test(node))).collect())
}

fn test(call: &Call, conductor: &str, name: &str, value: &str) -> Result<Test, Fault> {
    let text = value.to_owned();
    let flag = || call.flag(name).map(|flag| flag.unwrap_or(false));
    let uuid = || {
        Uuid::try_parse(value)
            .map(Some)
            .map_err(|_| Fault::invalid(format!("Expected a UUID but received {value}.")))
    };
    Ok(match name {
        "instance_uuid" => {
            let wanted = uuid()?;
            Box::new(move |n| n.instance_uuid == wanted)
        }
        "chassis_uuid" => {
            let wanted = uuid()?;
            Box::new(move |n| n.chassis_uuid == wanted)
        }
        "parent_node" => {
            let wanted = uuid()?;
            Box::new(move |n| n.parent_node == wanted)
        }
        "associated" => {
            let wanted = flag()?;
            Box::new(move |n| n.instance_uuid.is_some() == wanted)
        }
        "maintenance" => {
            let wanted = flag()?;
            Box::new(move |n| n.maintenance == wanted)
        }
        "retired" => {
            let wanted = flag()?;
            Box::new(move |n| n.retired == wanted)
        }
        "sharded" => {
            let wanted = flag()?;
            Box::new(move |n| n.shard.is_some() == wanted)
        }
        "provision_state" => {
            let wanted = ProvisionState::parse(value)
                .ok_or_else(|| Fault::invalid(format!("Provision state \"{value}\" is not valid")))?;
            Box::new(move |n| n.provision_state == wanted)
        }
        "conductor" => {
            let here = value == conductor;
            Box::new(move |_| here)
        }
        "shard" => {
            let wanted: Vec<String> = value.split(',').map(str::to_owned).collect();
            Box::new(move |n| n.shard.as_ref().is_some_and(|shard| wanted.contains(shard)))
        }
        "conductor_group" => {
            let wanted = value.to_ascii_lowercase();
            Box::new(move |n| n.conductor_group == wanted)
        }
        "description_contains" => {
            let wanted = value.to_lowercase();
            Box::new(move |n| n.description.as_ref().is_some_and(|d| d.to_lowercase().contains(&wanted)))
        }
        "instance_name" => Box::new(move |n| n.instance_name.as_ref() == Some(&text)),
        "driver" => Box::new(move |n| n.driver == text),
        "resource_class" => Box::new(move |n| n.resource_class.as_ref() == Some(&text)),
        "fault" => Box::new(move |n| n.fault.as_ref() == Some(&text)),
        "owner" => Box::new(move |n| n.owner.as_ref() == Some(&text)),
        "lessee" => Box::new(move |n| n.lessee.as_ref() == Some(&text)),
        _ => Box::new(move |n| n.owner.as_ref() == Some(&text) || n.lessee.as_ref() == Some(&text)),
    })
}
