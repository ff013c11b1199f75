//! Device paths as text, in the words that `efibootmgr -v` and the UEFI specification (§10.6) use: what patterns of
//! the step `clean_uefi_nvram` are matched against.

use std::fmt::Write as _;

use super::load_option::utf16;

fn u16_at(body: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(body.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(body: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(body.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(body: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(body.get(at..at + 8)?.try_into().ok()?))
}

/// A GUID in the byte order of the disk as text.
pub(super) fn guid_text(guid: &[u8]) -> Option<String> {
    let mut bytes: [u8; 16] = guid.try_into().ok()?;
    bytes[0..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{}-{}-{}-{}-{}", &hex[0..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One node; `None` when it is shorter than its type says.
fn node(kind: u8, sub: u8, body: &[u8]) -> Option<String> {
    Some(match (kind, sub) {
        (0x01, 0x01) => format!("Pci({:#x},{:#x})", body.get(1)?, body.first()?),
        (0x01, 0x04) => format!("VenHw({})", guid_text(body.get(..16)?)?),
        // EISA-compressed PNP0A03 and PNP0A08.
        (0x02, 0x01) if matches!(u32_at(body, 0)?, 0x0a03_41d0 | 0x0a08_41d0) => {
            format!("PciRoot({:#x})", u32_at(body, 4)?)
        }
        (0x02, 0x01) => format!("Acpi({:#010x},{:#x})", u32_at(body, 0)?, u32_at(body, 4)?),
        (0x03, 0x01) => format!("Ata({},{},{})", body.first()?, body.get(1)?, u16_at(body, 2)?),
        (0x03, 0x02) => format!("Scsi({},{})", u16_at(body, 0)?, u16_at(body, 2)?),
        (0x03, 0x05) => format!("USB({},{})", body.first()?, body.get(1)?),
        (0x03, 0x0a) => format!("VenMsg({})", guid_text(body.get(..16)?)?),
        (0x03, 0x0b) => format!("MAC({},{})", hex(body.get(..6)?), body.get(32)?),
        (0x03, 0x0c) => {
            let a = body.get(4..8)?;
            format!("IPv4({}.{}.{}.{})", a[0], a[1], a[2], a[3])
        }
        (0x03, 0x0d) => {
            let address: [u8; 16] = body.get(16..32)?.try_into().ok()?;
            format!("IPv6({})", std::net::Ipv6Addr::from(address))
        }
        (0x03, 0x12) => format!("Sata({},{},{})", u16_at(body, 0)?, u16_at(body, 2)?, u16_at(body, 4)?),
        (0x03, 0x17) => format!("NVMe({:#x},{})", u32_at(body, 0)?, hex(body.get(4..12)?)),
        (0x03, 0x18) => format!("Uri({})", String::from_utf8_lossy(body)),
        (0x04, 0x01) => {
            let signature = match body.get(37)? {
                2 => format!("GPT,{}", guid_text(body.get(20..36)?)?),
                1 => format!("MBR,{:#x}", u32_at(body, 20)?),
                _ => "None,0".to_owned(),
            };
            let (number, start, size) = (u32_at(body, 0)?, u64_at(body, 4)?, u64_at(body, 12)?);
            format!("HD({number},{signature},{start:#x},{size:#x})")
        }
        (0x04, 0x02) => {
            format!("CDROM({},{:#x},{:#x})", u32_at(body, 0)?, u64_at(body, 4)?, u64_at(body, 12)?)
        }
        (0x04, 0x03) => format!("VenMedia({})", guid_text(body.get(..16)?)?),
        (0x04, 0x04) => format!("File({})", utf16(body).trim_end_matches('\0')),
        (0x04, 0x06) => format!("FvFile({})", guid_text(body.get(..16)?)?),
        (0x04, 0x07) => format!("FvVol({})", guid_text(body.get(..16)?)?),
        (0x05, 0x01) => {
            let text = body.get(4..)?;
            let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
            format!("BBS({},{})", u16_at(body, 0)?, String::from_utf8_lossy(text))
        }
        _ => return None,
    })
}

/// The nodes joined by slashes, up to the end node; one that is not known is given in hexadecimal digits.
pub(super) fn text<'a>(nodes: impl Iterator<Item = (u8, u8, &'a [u8])>) -> String {
    let mut text = String::new();
    for (kind, sub, body) in nodes.take_while(|(kind, ..)| *kind != 0x7f) {
        if !text.is_empty() {
            text.push('/');
        }
        match node(kind, sub, body) {
            Some(known) => text.push_str(&known),
            None => write!(text, "Path({kind},{sub},{})", hex(body)).expect("writing to a String succeeds"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(nodes: &[(u8, u8, Vec<u8>)]) -> String {
        text(nodes.iter().map(|(kind, sub, body)| (*kind, *sub, body.as_slice())))
    }

    #[test]
    fn known_nodes_have_their_names() {
        let root = (2, 1, [0x0a03_41d0_u32.to_le_bytes(), 0_u32.to_le_bytes()].concat());
        let mut mac = vec![0x52, 0x54, 0, 0x99, 0, 2];
        mac.resize(33, 0);
        let nodes = [
            root,
            (1, 1, vec![0, 3]),
            (3, 0x0b, mac),
            (3, 0x18, b"http://x/y".to_vec()),
            (0x7f, 0xff, vec![]),
        ];
        assert_eq!(pack(&nodes), "PciRoot(0x0)/Pci(0x3,0x0)/MAC(525400990002,0)/Uri(http://x/y)");
        assert_eq!(pack(&[(9, 9, vec![1, 0xab])]), "Path(9,9,01ab)");
    }

    #[test]
    fn cut_nodes_are_shown_as_they_are() {
        for kind in 0..=5 {
            for sub in 0..=0x20 {
                for length in 0..40 {
                    assert!(!pack(&[(kind, sub, vec![0; length])]).is_empty());
                }
            }
        }
    }
}
