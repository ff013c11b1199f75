//! What content is, by its first bytes. Names and declarations are not asked.

/// How an image is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Raw,
    Gzip,
    Xz,
    Zstd,
}

impl Codec {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

/// Formats that are not written byte for byte: offset, magic, name.
const OTHERS: &[(usize, &[u8], &str)] = &[
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vhd"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"LUKS\xba\xbe", "luks"),
    (32769, b"CD001", "iso"),
    (0, b"hsqs", "squashfs"),
    (257, b"ustar", "tar"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"BZh", "bzip2"),
    (0, b"LZIP", "lzip"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"\x1f\x9d", "compress"),
    (0, b"<!DOCTYPE", "html"),
    (0, b"<html", "html"),
];

fn starts(head: &[u8], offset: usize, magic: &[u8]) -> bool {
    head.get(offset..).is_some_and(|rest| rest.starts_with(magic))
}

/// The codec of content that begins with `head`, or the name of a format that is not supported.
pub(crate) fn sniff(head: &[u8]) -> Result<Codec, &'static str> {
    if starts(head, 0, b"\x1f\x8b") {
        return Ok(Codec::Gzip);
    }
    if starts(head, 0, b"\xfd7zXZ\0") {
        return Ok(Codec::Xz);
    }
    // A zstd stream may begin with a skippable frame (RFC 8878 §3.1.2).
    let skippable = (0x50..=0x5f).any(|low| starts(head, 0, &[low, 0x2a, 0x4d, 0x18]));
    if skippable || starts(head, 0, b"\x28\xb5\x2f\xfd") {
        return Ok(Codec::Zstd);
    }
    match OTHERS.iter().find(|(offset, magic, _)| starts(head, *offset, magic)) {
        Some((_, _, name)) => Err(name),
        None => Ok(Codec::Raw),
    }
}

/// Whether a declared `disk_format` says what this crate writes: a raw disk image, however packed.
pub(crate) fn means_raw(declared: Option<&str>) -> bool {
    let declared = declared.unwrap_or_default().trim().to_ascii_lowercase();
    matches!(declared.as_str(), "" | "raw" | "unknown" | "gpt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_known_by_its_magic_bytes() {
        assert_eq!(sniff(b"\x1f\x8b\x08"), Ok(Codec::Gzip));
        assert_eq!(sniff(b"\xfd7zXZ\0\0\x04"), Ok(Codec::Xz));
        assert_eq!(sniff(b"\x28\xb5\x2f\xfd\x04"), Ok(Codec::Zstd));
        assert_eq!(sniff(b"\x5e\x2a\x4d\x18\x04"), Ok(Codec::Zstd));
        assert_eq!(sniff(b""), Ok(Codec::Raw));
        assert_eq!(sniff(&[0; 40000]), Ok(Codec::Raw));
        for (offset, magic, name) in OTHERS {
            let mut head = vec![0; 40000];
            head[*offset..offset + magic.len()].copy_from_slice(magic);
            assert_eq!(sniff(&head), Err(*name));
        }
    }

    #[test]
    fn declarations_of_raw_have_several_spellings() {
        for declared in [None, Some(""), Some("raw"), Some("RAW"), Some("unknown"), Some("gpt")] {
            assert!(means_raw(declared));
        }
        for declared in ["qcow2", "iso", "vmdk", "rawish"] {
            assert!(!means_raw(Some(declared)));
        }
    }
}
