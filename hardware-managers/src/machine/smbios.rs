//! SMBIOS tables (DMTF DSP0134) as the kernel exports them below `/sys/firmware/dmi/tables`.
//!
//! The tables come from firmware, so nothing in them is trusted: every length is checked and a structure that does
//! not fit ends the walk.

/// Parsed structures of one machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Smbios {
    /// Specification version as (major, minor).
    version: (u8, u8),
    structures: Vec<Structure>,
}

#[derive(Clone, Debug)]
pub(super) struct Structure {
    kind: u8,
    /// Formatted area with its four-byte header.
    data: Vec<u8>,
    strings: Vec<String>,
}

impl Structure {
    pub(super) fn kind(&self) -> u8 {
        self.kind
    }

    /// By which other structures refer to this one.
    pub(super) fn handle(&self) -> u16 {
        self.word(2).unwrap_or(0)
    }

    /// Bytes of the formatted area.
    pub(super) fn length(&self) -> usize {
        self.data.len()
    }

    /// A string as it stands there; numbers begin with 1.
    pub(super) fn string(&self, number: u8) -> Option<&str> {
        self.strings.get(usize::from(number).checked_sub(1)?).map(String::as_str)
    }

    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.data.get(at).copied()
    }

    pub(super) fn word(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(self.data.get(at..at + 2)?.try_into().ok()?))
    }

    pub(super) fn double_word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.data.get(at..at + 4)?.try_into().ok()?))
    }

    /// The string whose number stands at `at`; 0 means that there is none.
    fn text(&self, at: usize) -> Option<&str> {
        let text = self.string(self.byte(at)?)?.trim();
        (!text.is_empty()).then_some(text)
    }
}

impl Smbios {
    /// Reads the structure table; `entry_point` gives the version and `None` when its anchor is unknown.
    pub(super) fn parse(entry_point: &[u8], table: &[u8]) -> Option<Self> {
        let version = match entry_point {
            // SMBIOS 3.0 64-bit entry point.
            [b'_', b'S', b'M', b'3', b'_', _, _, major, minor, ..] => (*major, *minor),
            // SMBIOS 2.1 32-bit entry point.
            [b'_', b'S', b'M', b'_', _, _, major, minor, ..] => (*major, *minor),
            _ => return None,
        };
        Some(Self { version, structures: parse_structures(table) })
    }

    fn first(&self, kind: u8) -> Option<&Structure> {
        self.structures.iter().find(|structure| structure.kind == kind)
    }

    /// Specification version as (major, minor).
    pub(super) fn version(&self) -> (u8, u8) {
        self.version
    }

    /// Structures of a type, in the order of the table.
    pub(super) fn all(&self, kind: u8) -> impl Iterator<Item = &Structure> {
        self.structures.iter().filter(move |structure| structure.kind == kind)
    }

    fn text(&self, kind: u8, at: usize) -> Option<String> {
        self.first(kind)?.text(at).map(str::to_owned)
    }

    /// System UUID in lower case; `None` for all zeros and all ones (boot contract §E.1).
    pub(super) fn system_uuid(&self) -> Option<String> {
        let raw: [u8; 16] = self.first(1)?.data.get(8..24)?.try_into().ok()?;
        if raw == [0; 16] || raw == [0xff; 16] {
            return None;
        }
        let mut bytes = raw;
        // Since 2.6 the first three fields are little-endian; before, firmware stored them in network order.
        if self.version >= (2, 6) {
            bytes[0..4].reverse();
            bytes[4..6].reverse();
            bytes[6..8].reverse();
        }
        Some(format_uuid(&bytes))
    }

    pub(super) fn bios_vendor(&self) -> Option<String> {
        self.text(0, 4)
    }

    pub(super) fn bios_version(&self) -> Option<String> {
        self.text(0, 5)
    }

    pub(super) fn bios_date(&self) -> Option<String> {
        self.text(0, 8)
    }

    pub(super) fn manufacturer(&self) -> Option<String> {
        self.text(1, 4)
    }

    pub(super) fn product_name(&self) -> Option<String> {
        self.text(1, 5)
    }

    pub(super) fn system_serial(&self) -> Option<String> {
        self.text(1, 7)
    }

    pub(super) fn board_serial(&self) -> Option<String> {
        self.text(2, 7)
    }

    /// Version text of the first processor.
    pub(super) fn processor_version(&self) -> Option<&str> {
        self.first(4)?.text(0x10)
    }

    pub(super) fn max_speed_mhz(&self) -> Option<u16> {
        self.first(4)?.word(0x14).filter(|&mhz| mhz != 0)
    }

    /// Sockets whose status byte says that a processor is in them.
    pub(super) fn populated_sockets(&self) -> u32 {
        let populated = self.all(4).filter(|cpu| cpu.byte(0x18).is_some_and(|status| status & 0x40 != 0));
        u32::try_from(populated.count()).unwrap_or(u32::MAX)
    }

    /// MiB of memory in all type 17 devices; `None` when no device tells.
    pub(super) fn memory_mib(&self) -> Option<u64> {
        let sizes: Vec<u64> = self.all(17).filter_map(memory_device_mib).collect();
        (!sizes.is_empty()).then(|| sizes.iter().sum())
    }
}

/// Size of one memory device in MiB; `None` for an empty slot and an unknown size (DSP0134 §7.18).
fn memory_device_mib(device: &Structure) -> Option<u64> {
    match device.word(0x0c)? {
        0 | 0xffff => None,
        0x7fff => Some(u64::from(device.double_word(0x1c)? & 0x7fff_ffff)),
        size if size & 0x8000 != 0 => Some(u64::from(size & 0x7fff) / 1024),
        size => Some(u64::from(size)),
    }
}

fn parse_structures(mut rest: &[u8]) -> Vec<Structure> {
    let mut structures = Vec::new();
    while let [kind, length, ..] = *rest {
        let length = usize::from(length);
        if length < 4 || length > rest.len() {
            break;
        }
        let (data, tail) = rest.split_at(length);
        let Some((strings, used)) = parse_strings(tail) else { break };
        structures.push(Structure { kind, data: data.to_vec(), strings });
        if kind == 127 {
            break;
        }
        rest = &tail[used..];
    }
    structures
}

/// The string set behind a structure and the bytes it takes, with the NUL (or two) that ends it.
fn parse_strings(tail: &[u8]) -> Option<(Vec<String>, usize)> {
    if tail.starts_with(&[0, 0]) {
        return Some((Vec::new(), 2));
    }
    let mut strings = Vec::new();
    let mut at = 0;
    loop {
        let length = tail.get(at..)?.iter().position(|&byte| byte == 0)?;
        if length == 0 {
            return Some((strings, at + 1));
        }
        strings.push(String::from_utf8_lossy(&tail[at..at + length]).into_owned());
        at += length + 1;
    }
}

fn format_uuid(bytes: &[u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[0..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: [u8; 16] =
        [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];

    fn entry(major: u8, minor: u8) -> Vec<u8> {
        [b"_SM3_".as_slice(), &[0, 24, major, minor], &[0; 15]].concat()
    }

    fn structure(kind: u8, body: &[u8], strings: &[&str]) -> Vec<u8> {
        let mut bytes = vec![kind, u8::try_from(4 + body.len()).unwrap(), 0, 0];
        bytes.extend_from_slice(body);
        for text in strings {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
        bytes.push(0);
        if strings.is_empty() {
            bytes.push(0);
        }
        bytes
    }

    fn system(uuid: &[u8; 16]) -> Vec<u8> {
        structure(1, &[[1, 2, 0, 3].as_slice(), uuid, &[6, 0, 0]].concat(), &["Acme", "Anvil", " SER 1 "])
    }

    #[test]
    fn uuid_follows_the_version_of_the_specification() {
        let new = Smbios::parse(&entry(2, 6), &system(&STORED)).unwrap();
        assert_eq!(new.system_uuid().unwrap(), "00112233-4455-6677-8899-aabbccddeeff");
        let old = Smbios::parse(&entry(2, 5), &system(&STORED)).unwrap();
        assert_eq!(old.system_uuid().unwrap(), "33221100-5544-7766-8899-aabbccddeeff");
        assert_eq!(Smbios::parse(&entry(3, 0), &system(&[0xff; 16])).unwrap().system_uuid(), None);
    }

    #[test]
    fn strings_and_memory_sizes_are_read() {
        let mut table = system(&STORED);
        for (size, extended) in [(16384_u16, 0_u32), (0x7fff, 65536), (0, 0), (0xffff, 0)] {
            let mut body = [0_u8; 0x20 - 4];
            body[8..10].copy_from_slice(&size.to_le_bytes());
            body[0x18..0x1c].copy_from_slice(&extended.to_le_bytes());
            table.extend(structure(17, &body, &[]));
        }
        let tables = Smbios::parse(&entry(3, 2), &table).unwrap();
        assert_eq!(tables.manufacturer().as_deref(), Some("Acme"));
        assert_eq!(tables.system_serial().as_deref(), Some("SER 1"));
        assert_eq!(tables.memory_mib(), Some(16384 + 65536));
        assert_eq!(tables.board_serial(), None);
    }

    #[test]
    fn cut_tables_give_what_came_before_the_cut() {
        let table = [system(&STORED), structure(17, &[0; 28], &["DIMM"])].concat();
        for length in 0..table.len() {
            let tables = Smbios::parse(&entry(3, 0), &table[..length]).unwrap();
            assert!(tables.structures.len() < 2, "cut at {length}");
        }
        assert!(Smbios::parse(b"nonsense", &table).is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_table_is_read_without_panic(table in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let tables = Smbios::parse(&entry(3, 0), &table).unwrap();
            let _ = (tables.system_uuid(), tables.memory_mib(), tables.bios_date(), tables.populated_sockets());
        }
    }
}
