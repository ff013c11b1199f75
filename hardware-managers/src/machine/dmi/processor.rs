//! Processor information (DSP0134 §7.5).

use serde_json::{Map, Value};

use super::fields::{Fields, of_bits};
use super::words;
use crate::machine::smbios::Structure;

pub(super) fn fields(structure: &Structure, version: (u8, u8)) -> Map<String, Value> {
    let mut fields = Fields::new(structure);
    if !fields.reaches(0x1a) {
        return fields.done();
    }
    fields.text("Socket Designation", 4);
    fields.listed("Type", 5, words::PROCESSOR_TYPES);
    let family = match fields.byte(6) {
        0xfe if fields.reaches(0x2a) => fields.word(0x28),
        family => family.into(),
    };
    fields.coded_word("Family", family, words::PROCESSOR_FAMILIES);
    fields.text("Manufacturer", 7);
    let id: Vec<String> = (8..16).map(|at| format!("{:02X}", fields.byte(at))).collect();
    fields.put("ID", id.join(" "));
    signature(&mut fields, family);
    fields.text("Version", 0x10);
    fields.put("Voltage", voltage(fields.byte(0x11)));
    for (name, at) in [("External Clock", 0x12), ("Max Speed", 0x14), ("Current Speed", 0x16)] {
        let shown = match fields.word(at) {
            0 => "Unknown".to_owned(),
            megahertz => format!("{megahertz} MHz"),
        };
        fields.put(name, shown);
    }
    fields.put("Status", status(fields.byte(0x18)));
    fields.coded("Upgrade", 0x19, words::PROCESSOR_UPGRADES);
    if fields.reaches(0x20) {
        for (level, at) in [("L1", 0x1a), ("L2", 0x1c), ("L3", 0x1e)] {
            let shown = match fields.word(at) {
                0xffff if version >= (2, 3) => "Not Provided".to_owned(),
                0xffff => format!("No {level} Cache"),
                handle => format!("0x{handle:04X}"),
            };
            fields.put(&format!("{level} Cache Handle"), shown);
        }
    }
    if fields.reaches(0x23) {
        for (name, at) in [("Serial Number", 0x20), ("Asset Tag", 0x21), ("Part Number", 0x22)] {
            fields.text(name, at);
        }
    }
    if fields.reaches(0x28) {
        for (name, at, extended) in
            [("Core Count", 0x23, 0x2a), ("Core Enabled", 0x24, 0x2c), ("Thread Count", 0x25, 0x2e)]
        {
            // 255 means: more than a byte holds, see the word.
            let count = match fields.byte(at) {
                0xff if fields.reaches(extended + 2) => fields.word(extended),
                count => count.into(),
            };
            if fields.byte(at) != 0 {
                fields.put(name, count.to_string());
            }
        }
        let bits = fields.word(0x26);
        // As dmidecode, which takes the two last characteristics for none when they stand alone.
        if bits & 0x00fc == 0 {
            fields.put("Characteristics", "None");
        } else {
            fields.put("Characteristics", of_bits(bits.into(), 2, words::PROCESSOR_CHARACTERISTICS));
        }
    }
    fields.done()
}

/// What the processor's own identification means, for families that have CPUID or MIDR.
fn signature(fields: &mut Fields<'_>, family: u16) {
    let (low, features) = (fields.double_word(8), fields.double_word(12));
    let text = match family {
        0x100..=0x102 | 0x118..=0x119 => {
            let shown = format!(
                "Implementor 0x{:02x}, Variant 0x{:x}, Architecture {}, Part 0x{:03x}, Revision {}",
                low >> 24,
                low >> 20 & 0x0f,
                low >> 16 & 0x0f,
                low >> 4 & 0x0fff,
                low & 0x0f
            );
            // Zero, or the firmware tells the identity of the system on the chip in another form.
            if low != 0 && fields.word(0x26) & 1 << 9 == 0 {
                fields.put("Signature", shown);
            }
            return;
        }
        _ if is_intel(family, fields) => {
            let extended = low >> 20 & 0xff;
            format!(
                "Type {}, Family {}, Model {}, Stepping {}",
                low >> 12 & 3,
                extended + (low >> 8 & 0x0f),
                (low >> 12 & 0xf0) + (low >> 4 & 0x0f),
                low & 0x0f
            )
        }
        _ if is_amd(family, fields) => {
            let base = low >> 8 & 0x0f;
            let (more_family, more_model) =
                if base == 0x0f { (low >> 20 & 0xff, low >> 12 & 0xf0) } else { (0, 0) };
            format!(
                "Family {}, Model {}, Stepping {}",
                base + more_family,
                more_model | low >> 4 & 0x0f,
                low & 0x0f
            )
        }
        _ => return,
    };
    fields.put("Signature", text);
    let flags: Vec<&str> =
        words::CPU_FLAGS.iter().filter(|(bit, _)| features >> bit & 1 == 1).map(|(_, flag)| *flag).collect();
    if flags.is_empty() {
        fields.put("Flags", "None");
    } else {
        fields.put("Flags", flags);
    }
}

fn is_intel(family: u16, fields: &Fields<'_>) -> bool {
    let by_family = matches!(
        family,
        0x0b..=0x15
            | 0x28..=0x2f
            | 0xa1..=0xb3
            | 0xb5
            | 0xb9..=0xc7
            | 0xcd..=0xcf
            | 0xd2..=0xdb
            | 0xdd..=0xe0
    );
    by_family
        || says(family, fields, &["Intel(R) Core(TM)2", "Intel(R) Pentium(R)", "Genuine Intel(R) CPU U1400"])
}

fn is_amd(family: u16, fields: &Fields<'_>) -> bool {
    let by_family = matches!(
        family,
        0x18..=0x1d
            | 0x1f
            | 0x38..=0x3f
            | 0x46..=0x4f
            | 0x66..=0x6b
            | 0x83..=0x8f
            | 0xb6..=0xb7
            | 0xe4..=0xef
    );
    by_family || says(family, fields, &["AMD Athlon(TM)", "AMD Opteron(tm)"])
}

/// Some firmware leaves the family open and names the processor in its version.
fn says(family: u16, fields: &Fields<'_>, names: &[&str]) -> bool {
    let version = fields.of.string(fields.byte(0x10)).unwrap_or_default();
    matches!(family, 1 | 2) && names.iter().any(|name| version.starts_with(name))
}

/// Bit 7: tenths of volts; else the voltages that the socket takes.
fn voltage(code: u8) -> String {
    if code & 0x80 != 0 {
        let tenths = code & 0x7f;
        return format!("{}.{} V", tenths / 10, tenths % 10);
    }
    let taken = of_bits(code.into(), 0, &["5.0 V", "3.3 V", "2.9 V"]);
    if taken.is_empty() { "Unknown".to_owned() } else { taken.join(" ") }
}

fn status(code: u8) -> String {
    const WORDS: [&str; 8] = [
        "Unknown",
        "Enabled",
        "Disabled By User",
        "Disabled By BIOS",
        "Idle",
        "<OUT OF SPEC>",
        "<OUT OF SPEC>",
        "Other",
    ];
    if code & 0x40 == 0 {
        return "Unpopulated".to_owned();
    }
    format!("Populated, {}", WORDS[usize::from(code & 7)])
}
