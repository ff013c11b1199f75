//! Nodes, inventories and histories for people.

use serde_json::Value;

use super::output::{duration, field, pairs, plain, size, table};

pub(super) fn list(nodes: &[Value]) -> String {
    let row = |node: &Value| {
        let maintenance = node.get("maintenance").and_then(Value::as_bool).unwrap_or(false);
        vec![
            field(node, "name"),
            field(node, "uuid"),
            field(node, "power_state"),
            field(node, "provision_state"),
            if maintenance { "yes".to_owned() } else { "-".to_owned() },
        ]
    };
    let rows: Vec<_> = nodes.iter().map(row).collect();
    table(&["NAME", "UUID", "POWER", "STATE", "MAINTENANCE"], &rows)
}

/// All fields that say something, links left out.
pub(super) fn show(node: &Value) -> String {
    const FIRST: [&str; 8] = [
        "name",
        "uuid",
        "provision_state",
        "target_provision_state",
        "power_state",
        "last_error",
        "maintenance",
        "driver",
    ];
    const LINKS: [&str; 5] = ["links", "ports", "states", "portgroups", "volume"];
    let Some(fields) = node.as_object() else { return String::new() };
    let rest = fields.keys().map(String::as_str).filter(|key| !FIRST.contains(key) && !LINKS.contains(key));
    let mut lines = Vec::new();
    for key in FIRST.into_iter().chain(rest) {
        let value = &fields[key];
        let says = match value {
            Value::Null => false,
            Value::Object(map) => !map.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::String(text) => !text.is_empty(),
            Value::Bool(flag) => *flag,
            Value::Number(_) => true,
        };
        match value {
            Value::Object(map) if says => {
                for (name, inner) in map {
                    lines.push((format!("{key}.{name}"), plain(inner)));
                }
            }
            value if says => lines.push((key.to_owned(), plain(value))),
            _ => {}
        }
    }
    pairs(&lines)
}

pub(super) fn history(entries: &[Value]) -> String {
    let row = |entry: &Value| {
        let time = field(entry, "created_at");
        let seconds = entry.get("duration_seconds").and_then(Value::as_f64);
        let (kind, event) = (field(entry, "event_type"), field(entry, "event"));
        // Events say which step they are of, for lists without a column for it.
        let own = event.strip_prefix(&format!("{kind}: ")).unwrap_or(&event).to_owned();
        vec![
            time.get(..19).unwrap_or(&time).replace('T', " "),
            field(entry, "severity"),
            field(entry, "state"),
            seconds.map_or_else(|| "-".to_owned(), duration),
            kind,
            own,
        ]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    table(&["TIME (UTC)", "SEVERITY", "STATE", "FOR", "TYPE", "EVENT"], &rows)
}

/// Interfaces and what each lacks; whether all are fine.
pub(super) fn validation(results: &Value) -> (String, bool) {
    let mut good = true;
    let mut rows = Vec::new();
    for (interface, one) in results.as_object().into_iter().flatten() {
        let result = one.get("result").and_then(Value::as_bool).unwrap_or(false);
        good &= result;
        let word = if result { "ok" } else { "no" };
        rows.push(vec![interface.clone(), word.to_owned(), field(one, "reason")]);
    }
    (table(&["INTERFACE", "RESULT", "REASON"], &rows), good)
}

pub(super) fn inventory(document: &Value) -> String {
    let inventory = &document["inventory"];
    let vendor = &inventory["system_vendor"];
    let cpu = &inventory["cpu"];
    let bytes = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), size);
    let mebibytes = inventory["memory"]["physical_mb"].as_u64();
    let memory =
        mebibytes.map_or_else(|| bytes(&inventory["memory"]["total"]), |mib| size(mib * 1024 * 1024));
    let mut out = pairs(&[
        ("system".into(), format!("{} {}", field(vendor, "manufacturer"), field(vendor, "product_name"))),
        ("serial number".into(), field(vendor, "serial_number")),
        ("firmware".into(), field(&vendor["firmware"], "version")),
        ("boot mode".into(), field(&inventory["boot"], "current_boot_mode")),
        (
            "cpu".into(),
            format!(
                "{} × {} ({})",
                field(cpu, "count"),
                field(cpu, "model_name"),
                field(cpu, "architecture")
            ),
        ),
        ("memory".into(), memory),
    ]);
    let rows = |key: &str, row: &dyn Fn(&Value) -> Vec<String>| -> Vec<Vec<String>> {
        inventory[key].as_array().into_iter().flatten().map(row).collect()
    };
    let disks = rows("disks", &|disk| {
        let rotational = disk["rotational"].as_bool().unwrap_or(false);
        vec![
            field(disk, "name"),
            bytes(&disk["size"]),
            if rotational { "rotating" } else { "solid" }.to_owned(),
            field(disk, "model"),
            field(disk, "serial"),
            field(disk, "wwn"),
        ]
    });
    out.push('\n');
    out.push_str(&table(&["DISK", "SIZE", "KIND", "MODEL", "SERIAL", "WWN"], &disks));
    let interfaces = rows("interfaces", &|nic| {
        let carrier = nic["has_carrier"].as_bool().unwrap_or(false);
        vec![
            field(nic, "name"),
            field(nic, "mac_address"),
            field(nic, "ipv4_address"),
            if carrier { "up" } else { "no carrier" }.to_owned(),
            nic["speed_mbps"].as_u64().map_or_else(|| "-".to_owned(), |speed| format!("{speed} Mbit/s")),
        ]
    });
    out.push('\n');
    out.push_str(&table(&["INTERFACE", "MAC", "IPV4", "LINK", "SPEED"], &interfaces));
    out
}
