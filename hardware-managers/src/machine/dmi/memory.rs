//! Physical memory arrays and memory devices (DSP0134 §7.17, §7.18).

use serde_json::{Map, Value};

use super::fields::{Fields, of_bits, size};
use super::words;
use crate::machine::smbios::Structure;

pub(super) fn array(structure: &Structure) -> Map<String, Value> {
    let mut fields = Fields::new(structure);
    if !fields.reaches(0x0f) {
        return fields.done();
    }
    fields.coded("Location", 4, words::MEMORY_ARRAY_LOCATIONS);
    fields.listed("Use", 5, words::MEMORY_ARRAY_USES);
    fields.listed("Error Correction Type", 6, words::ERROR_CORRECTIONS);
    let capacity = match fields.double_word(7) {
        0x8000_0000 if fields.reaches(0x17) => size(fields.quad_word(0x0f), 0),
        0x8000_0000 => "Unknown".to_owned(),
        kibibytes => size(kibibytes.into(), 1),
    };
    fields.put("Maximum Capacity", capacity);
    error_handle(&mut fields, 0x0b);
    fields.put("Number Of Devices", fields.word(0x0d).to_string());
    fields.done()
}

pub(super) fn device(structure: &Structure) -> Map<String, Value> {
    let mut fields = Fields::new(structure);
    if !fields.reaches(0x15) {
        return fields.done();
    }
    fields.hexadecimal("Array Handle", 4);
    error_handle(&mut fields, 6);
    for (name, at) in [("Total Width", 8), ("Data Width", 0x0a)] {
        let width = match fields.word(at) {
            0 | 0xffff => "Unknown".to_owned(),
            bits => format!("{bits} bits"),
        };
        fields.put(name, width);
    }
    fields.put("Size", device_size(&fields));
    fields.coded("Form Factor", 0x0e, words::MEMORY_FORM_FACTORS);
    let set = match fields.byte(0x0f) {
        0 => "None".to_owned(),
        0xff => "Unknown".to_owned(),
        number => number.to_string(),
    };
    fields.put("Set", set);
    fields.text("Locator", 0x10);
    fields.text("Bank Locator", 0x11);
    fields.coded("Type", 0x12, words::MEMORY_TYPES);
    fields.put("Type Detail", joined(fields.word(0x13), words::MEMORY_TYPE_DETAILS));
    // Nothing more is known of an empty slot.
    if fields.word(0x0c) != 0 {
        module(&mut fields);
    }
    fields.done()
}

/// What is known of the module in a slot.
fn module(fields: &mut Fields<'_>) {
    if !fields.reaches(0x17) {
        return;
    }
    fields.put("Speed", speed(fields, 0x15, 0x54));
    if !fields.reaches(0x1b) {
        return;
    }
    for (name, at) in
        [("Manufacturer", 0x17), ("Serial Number", 0x18), ("Asset Tag", 0x19), ("Part Number", 0x1a)]
    {
        fields.text(name, at);
    }
    if !fields.reaches(0x1c) {
        return;
    }
    let rank = match fields.byte(0x1b) & 0x0f {
        0 => "Unknown".to_owned(),
        rank => rank.to_string(),
    };
    fields.put("Rank", rank);
    if !fields.reaches(0x22) {
        return;
    }
    fields.put("Configured Memory Speed", speed(fields, 0x20, 0x58));
    if !fields.reaches(0x28) {
        return;
    }
    for (name, at) in [("Minimum Voltage", 0x22), ("Maximum Voltage", 0x24), ("Configured Voltage", 0x26)] {
        let voltage = volts(fields.word(at));
        fields.put(name, voltage);
    }
    if fields.reaches(0x34) {
        technology(fields);
    }
    for (name, at) in
        [("Non-Volatile Size", 0x34), ("Volatile Size", 0x3c), ("Cache Size", 0x44), ("Logical Size", 0x4c)]
    {
        if !fields.reaches(at + 8) {
            return;
        }
        let shown = match fields.quad_word(at) {
            0 => "None".to_owned(),
            u64::MAX => "Unknown".to_owned(),
            bytes => size(bytes, 0),
        };
        fields.put(name, shown);
    }
}

fn technology(fields: &mut Fields<'_>) {
    fields.listed("Memory Technology", 0x28, words::MEMORY_TECHNOLOGIES);
    fields.put("Memory Operating Mode Capability", joined(fields.word(0x29), words::MEMORY_MODES));
    fields.text("Firmware Version", 0x2b);
    for (prefix, at) in [("Module", 0x2c), ("Memory Subsystem Controller", 0x30)] {
        let manufacturer = match fields.word(at) {
            0 => "Unknown".to_owned(),
            code => format!("Bank {}, Hex 0x{:02X}", (code & 0x7f) + 1, code >> 8),
        };
        fields.put(&format!("{prefix} Manufacturer ID"), manufacturer);
        let product = match fields.word(at + 2) {
            0 => "Unknown".to_owned(),
            code => format!("0x{code:04X}"),
        };
        fields.put(&format!("{prefix} Product ID"), product);
    }
}

fn error_handle(fields: &mut Fields<'_>, at: usize) {
    let shown = match fields.word(at) {
        0xfffe => "Not Provided".to_owned(),
        0xffff => "No Error".to_owned(),
        handle => format!("0x{handle:04X}"),
    };
    fields.put("Error Information Handle", shown);
}

fn device_size(fields: &Fields<'_>) -> String {
    match fields.word(0x0c) {
        0 => "No Module Installed".to_owned(),
        0xffff => "Unknown".to_owned(),
        0x7fff if fields.reaches(0x20) => {
            let mebibytes = fields.double_word(0x1c) & 0x7fff_ffff;
            if mebibytes & 0x3ff != 0 {
                format!("{mebibytes} MB")
            } else if mebibytes & 0xf_fc00 != 0 {
                format!("{} GB", mebibytes >> 10)
            } else {
                format!("{} TB", mebibytes >> 20)
            }
        }
        kibibytes if kibibytes & 0x8000 != 0 => size(u64::from(kibibytes & 0x7fff), 1),
        mebibytes => size(u64::from(mebibytes) << 10, 1),
    }
}

/// In megatransfers per second; the second place is for what a word does not hold.
fn speed(fields: &Fields<'_>, at: usize, extended: usize) -> String {
    let megatransfers = match fields.word(at) {
        0xffff if fields.reaches(extended + 4) => fields.double_word(extended) & 0x7fff_ffff,
        0xffff => 0,
        megatransfers => megatransfers.into(),
    };
    if megatransfers == 0 { "Unknown".to_owned() } else { format!("{megatransfers} MT/s") }
}

/// Of millivolts: at least one decimal, and no more than it takes.
fn volts(millivolts: u16) -> String {
    let (whole, rest) = (millivolts / 1000, millivolts % 1000);
    match rest {
        0 if whole == 0 => "Unknown".to_owned(),
        _ if rest % 100 == 0 => format!("{whole}.{} V", rest / 100),
        _ => format!("{whole}.{} V", format!("{rest:03}").trim_end_matches('0')),
    }
}

fn joined(bits: u16, words: &[&'static str]) -> String {
    // Bit 0 is reserved.
    if bits & !1 == 0 { "None".to_owned() } else { of_bits(bits.into(), 1, words).join(" ") }
}
