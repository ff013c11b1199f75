//! SMBIOS tables, and what `dmidecode` reads from them.

use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::tree::Tree;

/// A structure of a type: what stands behind its header, and its strings.
#[derive(Debug)]
pub(crate) struct Structure {
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
    pub(crate) strings: Vec<String>,
}

/// The table of structures, ended as it should be.
pub(crate) fn table(structures: &[Structure]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let end = Structure { kind: 127, body: Vec::new(), strings: Vec::new() };
    for (handle, structure) in (0x0011_u16..).zip(structures.iter().chain([&end])) {
        bytes.extend([structure.kind, u8::try_from(4 + structure.body.len()).unwrap()]);
        bytes.extend(handle.to_le_bytes());
        bytes.extend(&structure.body);
        for text in &structure.strings {
            bytes.extend(text.as_bytes());
            bytes.push(0);
        }
        bytes.push(0);
        if structure.strings.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

/// The 64-bit entry point of a table that lies behind it at 32.
pub(crate) fn entry_point(version: (u8, u8), table: &[u8]) -> Vec<u8> {
    let mut entry = vec![b'_', b'S', b'M', b'3', b'_', 0, 24, version.0, version.1, 0, 1, 0];
    entry.extend(u32::try_from(table.len()).unwrap().to_le_bytes());
    entry.extend(32_u64.to_le_bytes());
    entry[5] = 0_u8.wrapping_sub(entry.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
    entry
}

pub(crate) fn install(tree: &Tree, version: (u8, u8), structures: &[Structure]) {
    let table = table(structures);
    tree.write("sys/firmware/dmi/tables/smbios_entry_point", entry_point(version, &table));
    tree.write("sys/firmware/dmi/tables/DMI", table);
}

/// What ironic-python-agent makes of the output of `dmidecode` for the same tables; `None` where that program is not
/// installed.
pub(crate) fn by_dmidecode(folder: &Path, version: (u8, u8), structures: &[Structure]) -> Option<Value> {
    let table = table(structures);
    let dump = folder.join("dump");
    std::fs::write(&dump, [entry_point(version, &table), vec![0; 8], table].concat()).unwrap();
    let output = match Command::new("dmidecode").arg("--from-dump").arg(&dump).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("dmidecode: {error}"),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut blocks: Vec<(u8, Map<String, Value>)> = Vec::new();
    for block in text.split("\n\n").filter(|block| block.starts_with("Handle 0x")) {
        let kind =
            block.split(',').nth(1).unwrap().trim().strip_prefix("DMI type ").unwrap().parse().unwrap();
        blocks.push((kind, fields(block)));
    }
    let of =
        |kind: u8| blocks.iter().filter(move |(known, _)| *known == kind).map(|(_, fields)| fields.clone());
    let mut memory = of(16).next().unwrap_or_default();
    let devices: u64 =
        of(16).map(|array| array["Number Of Devices"].as_str().unwrap().parse::<u64>().unwrap()).sum();
    if !memory.is_empty() {
        memory.remove("Handle");
        memory["Number Of Devices"] = devices.into();
    }
    memory.insert("devices".into(), of(17).collect());
    let bios = of(0).next_back().unwrap_or_default();
    Some(json!({"bios": bios, "cpu": of(4).collect::<Vec<_>>(), "memory": memory}))
}

fn fields(block: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut list: Option<String> = None;
    for line in block.lines().map(str::trim) {
        if let Some((name, value)) = line.split_once(':') {
            let (name, value) = (name.trim().to_owned(), value.trim());
            // A name without a value begins a list, or has a value that is blank.
            let begins = value.is_empty() && ["Characteristics", "Flags"].contains(&name.as_str());
            list = begins.then(|| name.clone());
            fields.insert(name, if begins { json!([]) } else { value.into() });
        } else if line.starts_with("Handle 0x") {
            fields.insert("Handle".into(), line.into());
        } else if let Some(list) = &list {
            fields[list].as_array_mut().unwrap().push(line.into());
        }
    }
    fields
}
