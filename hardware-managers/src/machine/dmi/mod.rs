//! The collector `dmi-decode`: SMBIOS structures 0, 4, 16 and 17 under the field names and in the words of
//! `dmidecode` 3.4, as ironic-python-agent hands them on (IPA contract §7.2), without that program.

mod bios;
mod fields;
mod memory;
mod processor;
#[rustfmt::skip]
mod words;

use serde_json::{Map, Value};

use super::smbios::Smbios;

/// The value of the key `dmi`.
pub(super) fn decode(tables: &Smbios) -> Value {
    let mut dmi = Map::new();
    // Where there are several BIOS structures, the last one is shown.
    let bios = tables.all(0).last().map(|structure| bios::fields(structure).into());
    dmi.insert("bios".to_owned(), bios.unwrap_or_else(|| Value::Object(Map::new())));
    let processors: Vec<Value> =
        tables.all(4).map(|structure| processor::fields(structure, tables.version()).into()).collect();
    dmi.insert("cpu".to_owned(), processors.into());
    dmi.insert("memory".to_owned(), memory(tables).into());
    Value::Object(dmi)
}

/// The first memory array with the devices of all of them.
fn memory(tables: &Smbios) -> Map<String, Value> {
    let arrays: Vec<_> = tables.all(16).map(memory::array).collect();
    let number = |array: &Map<String, Value>| -> u64 {
        array.get("Number Of Devices").and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let total: u64 = arrays.iter().map(number).sum();
    let mut memory = arrays.into_iter().next().unwrap_or_default();
    if !memory.is_empty() {
        memory.remove("Handle");
        memory.insert("Number Of Devices".to_owned(), total.into());
    }
    let devices: Vec<Value> = tables.all(17).map(|structure| memory::device(structure).into()).collect();
    memory.insert("devices".to_owned(), devices.into());
    memory
}
