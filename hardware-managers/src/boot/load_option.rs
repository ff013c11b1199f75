//! `EFI_LOAD_OPTION` and the device path nodes that a disk's entry is made of (UEFI specification §3.1.3, §10.3).

const ACTIVE: u32 = 1;
/// Device path types and sub-types.
const MEDIA: u8 = 0x04;
const HARD_DRIVE: u8 = 0x01;
const FILE_PATH: u8 = 0x04;
const END: [u8; 4] = [0x7f, 0xff, 0x04, 0x00];

/// Content of a `Boot####` variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoadOption {
    pub(super) attributes: u32,
    pub(super) description: String,
    /// Device path with its end node.
    pub(super) path: Vec<u8>,
    pub(super) optional_data: Vec<u8>,
}

/// A partition as a hard drive node names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HardDrive {
    pub(super) partition: u32,
    /// In logical sectors of the disk.
    pub(super) start_lba: u64,
    pub(super) sectors: u64,
    pub(super) signature: Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// Unique partition GUID in the byte order of the disk.
    Gpt([u8; 16]),
    /// Disk signature of the MBR.
    Mbr([u8; 4]),
}

impl HardDrive {
    fn node(&self) -> Vec<u8> {
        let mut node = vec![MEDIA, HARD_DRIVE, 42, 0];
        node.extend_from_slice(&self.partition.to_le_bytes());
        node.extend_from_slice(&self.start_lba.to_le_bytes());
        node.extend_from_slice(&self.sectors.to_le_bytes());
        match self.signature {
            Signature::Gpt(guid) => {
                node.extend_from_slice(&guid);
                node.extend_from_slice(&[2, 2]);
            }
            Signature::Mbr(signature) => {
                node.extend_from_slice(&signature);
                node.extend_from_slice(&[0; 12]);
                node.extend_from_slice(&[1, 1]);
            }
        }
        node
    }

    fn from_body(body: &[u8]) -> Option<Self> {
        let signature: [u8; 16] = body.get(20..36)?.try_into().ok()?;
        Some(Self {
            partition: u32::from_le_bytes(body.get(0..4)?.try_into().ok()?),
            start_lba: u64::from_le_bytes(body.get(4..12)?.try_into().ok()?),
            sectors: u64::from_le_bytes(body.get(12..20)?.try_into().ok()?),
            signature: match body.get(37)? {
                2 => Signature::Gpt(signature),
                1 => Signature::Mbr(signature[..4].try_into().ok()?),
                _ => return None,
            },
        })
    }
}

impl LoadOption {
    /// The short form that firmware expands by the partition's signature: hard drive, file, end.
    pub(super) fn for_loader(drive: &HardDrive, loader: &str, label: &str) -> Self {
        let mut path = drive.node();
        let name = utf16_with_end(loader);
        let length = u16::try_from(4 + name.len()).expect("loader paths are bounded by FAT's limits");
        path.extend_from_slice(&[MEDIA, FILE_PATH]);
        path.extend_from_slice(&length.to_le_bytes());
        path.extend_from_slice(&name);
        path.extend_from_slice(&END);
        Self { attributes: ACTIVE, description: label.to_owned(), path, optional_data: Vec::new() }
    }

    /// With a command line for the loader, as shim's fallback program stores it; none when it is empty.
    pub(super) fn with_options(self, options: &str) -> Self {
        let optional_data = if options.is_empty() { Vec::new() } else { utf16_with_end(options) };
        Self { optional_data, ..self }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.attributes.to_le_bytes().to_vec();
        let length = u16::try_from(self.path.len()).expect("device paths are bounded by their length field");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&utf16_with_end(&self.description));
        bytes.extend_from_slice(&self.path);
        bytes.extend_from_slice(&self.optional_data);
        bytes
    }

    /// `None` when the bytes are no load option; firmware keeps such things, too.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let attributes = u32::from_le_bytes(bytes.get(0..4)?.try_into().ok()?);
        let path_length = usize::from(u16::from_le_bytes(bytes.get(4..6)?.try_into().ok()?));
        let text = bytes.get(6..)?;
        let characters = text.chunks_exact(2).position(|unit| unit == [0, 0])?;
        let rest = &text[2 * characters + 2..];
        Some(Self {
            attributes,
            description: utf16(&text[..2 * characters]),
            path: rest.get(..path_length)?.to_vec(),
            optional_data: rest[path_length..].to_vec(),
        })
    }

    pub(super) fn is_active(&self) -> bool {
        self.attributes & ACTIVE != 0
    }

    pub(super) fn activated(&self) -> Self {
        Self { attributes: self.attributes | ACTIVE, ..self.clone() }
    }

    /// The first hard drive node.
    pub(super) fn hard_drive(&self) -> Option<HardDrive> {
        self.nodes()
            .find(|(kind, sub, _)| (*kind, *sub) == (MEDIA, HARD_DRIVE))
            .and_then(|(.., body)| HardDrive::from_body(body))
    }

    /// All file nodes as one path; a path may be split over several nodes.
    pub(super) fn file(&self) -> Option<String> {
        let parts: Vec<String> = self
            .nodes()
            .filter(|(kind, sub, _)| (*kind, *sub) == (MEDIA, FILE_PATH))
            .map(|(.., body)| utf16(body).trim_end_matches('\0').to_owned())
            .collect();
        (!parts.is_empty()).then(|| parts.join("\\"))
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (u8, u8, &[u8])> {
        let mut rest = self.path.as_slice();
        std::iter::from_fn(move || {
            let header = rest.get(..4)?;
            let length = usize::from(u16::from_le_bytes([header[2], header[3]]));
            let body = rest.get(4..length)?;
            let node = (header[0], header[1], body);
            rest = &rest[length..];
            Some(node)
        })
    }
}

pub(super) fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

fn utf16_with_end(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: [u8; 16] =
        [0x1e, 0x0f, 0x4d, 0xa0, 0x2f, 0xe0, 0x25, 0x47, 0x94, 0x34, 0x06, 0x99, 0xb5, 0x2d, 0x8f, 0xf2];

    fn drive() -> HardDrive {
        HardDrive { partition: 1, start_lba: 0x800, sectors: 0x10_0000, signature: Signature::Gpt(GUID) }
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks_exact(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn known_entry_is_encoded_byte_for_byte() {
        let expected = hex(
            "01000000 6200 640065006200690061006e000000 04012a00 01000000 0008000000000000 0000100000000000
             1e0f4da02fe0254794340699b52d8ff2 0202 04043400
             5c004500460049005c00640065006200690061006e005c007300680069006d007800360034002e006500660069000000
             7fff0400",
        );
        let option = LoadOption::for_loader(&drive(), "\\EFI\\debian\\shimx64.efi", "debian");
        assert_eq!(option.encode(), expected);
        let parsed = LoadOption::parse(&expected).unwrap();
        assert_eq!(parsed, option);
        assert_eq!(parsed.hard_drive(), Some(drive()));
        assert_eq!(parsed.file().unwrap(), "\\EFI\\debian\\shimx64.efi");
    }

    #[test]
    fn mbr_disks_are_named_by_their_signature() {
        let drive = HardDrive { signature: Signature::Mbr([1, 2, 3, 4]), ..drive() };
        let option = LoadOption::for_loader(&drive, "\\x", "y");
        assert_eq!(LoadOption::parse(&option.encode()).unwrap().hard_drive(), Some(drive));
    }

    #[test]
    fn cut_entries_never_panic_and_are_no_entries() {
        let whole = LoadOption::for_loader(&drive(), "\\EFI\\debian\\shimx64.efi", "debian").encode();
        for length in 0..whole.len() {
            assert_eq!(LoadOption::parse(&whole[..length]), None, "cut at {length}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_parsed_without_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            if let Some(option) = LoadOption::parse(&bytes) {
                let _ = (option.hard_drive(), option.file());
            }
        }
    }
}
