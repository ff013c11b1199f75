//! BIOS information (DSP0134 §7.1).

use serde_json::{Map, Value};

use super::fields::{Fields, of_bits, size};
use super::words;
use crate::machine::smbios::Structure;

/// Bit 3 of the characteristics: none of the others says anything.
const UNSUPPORTED: u64 = 1 << 3;

pub(super) fn fields(structure: &Structure) -> Map<String, Value> {
    let mut fields = Fields::new(structure);
    if !fields.reaches(0x12) {
        return fields.done();
    }
    fields.text("Vendor", 4);
    fields.text("Version", 5);
    fields.text("Release Date", 8);
    let segment = fields.word(6);
    // Zero where there is no BIOS below 1 MiB.
    if segment != 0 {
        fields.put("Address", format!("0x{segment:04X}0"));
        fields.put("Runtime Size", runtime_size((0x10000 - u32::from(segment)) << 4));
    }
    let extended = if fields.reaches(0x1a) { fields.word(0x18) } else { 16 };
    fields.put("ROM Size", rom_size(fields.byte(9), extended));
    let characteristics = fields.quad_word(0x0a);
    let mut shown = if characteristics & UNSUPPORTED != 0 {
        vec!["BIOS characteristics not supported"]
    } else {
        of_bits(characteristics, 4, words::BIOS_CHARACTERISTICS)
    };
    if fields.reaches(0x13) {
        shown.extend(of_bits(fields.byte(0x12).into(), 0, words::BIOS_EXTENSION_1));
    }
    if fields.reaches(0x14) {
        shown.extend(of_bits(fields.byte(0x13).into(), 0, words::BIOS_EXTENSION_2));
    }
    fields.put("Characteristics", shown);
    if fields.reaches(0x18) {
        for (name, at) in [("BIOS Revision", 0x14), ("Firmware Revision", 0x16)] {
            let (major, minor) = (fields.byte(at), fields.byte(at + 1));
            if major != 0xff && minor != 0xff {
                fields.put(name, format!("{major}.{minor}"));
            }
        }
    }
    fields.done()
}

fn runtime_size(bytes: u32) -> String {
    if bytes.trailing_zeros() < 10 { format!("{bytes} bytes") } else { format!("{} kB", bytes >> 10) }
}

/// In units of 64 KiB, or, from 16 MiB on, in the unit that the extended size names.
fn rom_size(code: u8, extended: u16) -> String {
    if code != 0xff {
        return size((u64::from(code) + 1) << 6, 1);
    }
    let unit = match extended >> 14 {
        0 => "MB",
        1 => "GB",
        _ => "<OUT OF SPEC>",
    };
    format!("{} {unit}", extended & 0x3fff)
}
