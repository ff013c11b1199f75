//! What content is, by its first bytes. Names and declarations are not asked.

/// How an image is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Gzip,
    Xz,
    Zstd,
}

impl Codec {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

/// What content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A disk as it is; also whatever is not known.
    Raw,
    Packed(Codec),
    Qcow2,
    /// Known, and not written.
    Other(&'static str),
}

impl Format {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Packed(codec) => codec.name(),
            Self::Qcow2 => "qcow2",
            Self::Other(name) => name,
        }
    }
}

/// Formats that are not written: offset, magic, name.
const OTHERS: &[(usize, &[u8], &str)] = &[
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

/// The format of content that begins with `head`.
pub(crate) fn sniff(head: &[u8]) -> Format {
    if starts(head, 0, b"\x1f\x8b") {
        return Format::Packed(Codec::Gzip);
    }
    if starts(head, 0, b"\xfd7zXZ\0") {
        return Format::Packed(Codec::Xz);
    }
    // A zstd stream may begin with a skippable frame (RFC 8878 §3.1.2).
    let skippable = (0x50..=0x5f).any(|low| starts(head, 0, &[low, 0x2a, 0x4d, 0x18]));
    if skippable || starts(head, 0, b"\x28\xb5\x2f\xfd") {
        return Format::Packed(Codec::Zstd);
    }
    if starts(head, 0, b"QFI\xfb") {
        return Format::Qcow2;
    }
    let other = OTHERS.iter().find(|(offset, magic, _)| starts(head, *offset, magic));
    other.map_or(Format::Raw, |(_, _, name)| Format::Other(name))
}

/// Whether a declared `disk_format` allows content of a format. `gpt` is what Ironic calls a raw image with such a table.
pub(crate) fn declares(declared: &str, format: &str) -> bool {
    let declared = declared.trim().to_ascii_lowercase();
    match declared.as_str() {
        "" | "unknown" => true,
        "gpt" => format == "raw",
        declared => declared == format,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_known_by_its_magic_bytes() {
        assert_eq!(sniff(b"\x1f\x8b\x08"), Format::Packed(Codec::Gzip));
        assert_eq!(sniff(b"\xfd7zXZ\0\0\x04"), Format::Packed(Codec::Xz));
        assert_eq!(sniff(b"\x28\xb5\x2f\xfd\x04"), Format::Packed(Codec::Zstd));
        assert_eq!(sniff(b"\x5e\x2a\x4d\x18\x04"), Format::Packed(Codec::Zstd));
        assert_eq!(sniff(b"QFI\xfb\0\0\0\x03"), Format::Qcow2);
        assert_eq!(sniff(b""), Format::Raw);
        assert_eq!(sniff(&[0; 40000]), Format::Raw);
        for (offset, magic, name) in OTHERS {
            let mut head = vec![0; 40000];
            head[*offset..offset + magic.len()].copy_from_slice(magic);
            assert_eq!(sniff(&head), Format::Other(name));
        }
    }

    #[test]
    fn declarations_of_raw_have_several_spellings() {
        for declared in ["", "raw", "RAW", " unknown", "gpt"] {
            assert!(declares(declared, "raw"));
        }
        for declared in ["qcow2", "iso", "vmdk", "rawish"] {
            assert!(!declares(declared, "raw"));
        }
        assert!(declares("QCOW2", "qcow2") && declares("unknown", "qcow2") && !declares("gpt", "qcow2"));
    }
}
