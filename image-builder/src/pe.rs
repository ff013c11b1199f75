//! Reads and extends PE32+ files (the PE format specification): what an EFI program is.

use std::ops::Range;

/// Why a file is not a PE file that can be extended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeError {
    #[error("it is not a PE32+ file (no {0})")]
    NotPe(&'static str),
    #[error("it ends inside its {0}")]
    Truncated(&'static str),
    #[error("its headers have room for {room} more sections, {wanted} are to be added")]
    NoRoom { room: usize, wanted: usize },
    #[error("it has a section {0} already")]
    Duplicate(String),
    #[error("section name {0} is longer than 8 bytes")]
    Name(String),
    #[error("it is signed, and adding a section would break the signature")]
    Signed,
    #[error("it would grow beyond 4 GiB")]
    TooLarge,
}

/// A section to add.
#[derive(Clone, Copy, Debug)]
pub struct NewSection<'a> {
    /// At most 8 bytes, `.linux`.
    pub name: &'a str,
    pub data: &'a [u8],
    /// Bytes to reserve in memory; never less than the data takes.
    pub memory: u32,
}

/// A section of a file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Section {
    pub name: String,
    /// Address relative to the image's base.
    pub address: u32,
    /// Bytes in memory: for sections of a UKI also the length of the data.
    pub memory: u32,
    pub offset: u32,
    /// Bytes in the file, padded.
    pub size: u32,
}

const PAGE: u32 = 4096;
const SECTION_HEADER: usize = 40;
/// Initialised data, readable.
const CHARACTERISTICS: u32 = 0x4000_0040;
/// Index of the certificate table among the data directories.
const SECURITY: usize = 4;

/// Offsets of the header fields that matter.
struct Headers {
    coff: usize,
    optional: usize,
    sections: usize,
    section_count: usize,
}

/// The sections, in the order of the file.
pub fn sections(image: &[u8]) -> Result<Vec<Section>, PeError> {
    let headers = Headers::of(image)?;
    (0..headers.section_count)
        .map(|index| {
            let header =
                slice(image, headers.sections + index * SECTION_HEADER, SECTION_HEADER, "section headers")?;
            let name = header[..8].split(|&byte| byte == 0).next().unwrap_or_default();
            Ok(Section {
                name: String::from_utf8_lossy(name).into_owned(),
                address: u32_at(header, 12)?,
                memory: u32_at(header, 8)?,
                offset: u32_at(header, 20)?,
                size: u32_at(header, 16)?,
            })
        })
        .collect()
}

/// Bytes that the image takes in memory.
pub fn size_of_image(image: &[u8]) -> Result<u32, PeError> {
    u32_at(image, Headers::of(image)?.optional + 56)
}

/// `image` with `added` after its own sections, at ascending addresses on page boundaries.
///
/// Time stamp, checksum and the (obsolete) symbol table are cleared, so that the result depends on nothing but the
/// arguments. Data after the last section, where linkers leave symbols, is dropped.
pub fn append_sections(image: &[u8], added: &[NewSection<'_>]) -> Result<Vec<u8>, PeError> {
    let headers = Headers::of(image)?;
    let existing = sections(image)?;
    let section_alignment = u32_at(image, headers.optional + 32)?.max(1);
    let file_alignment = u32_at(image, headers.optional + 36)?.max(1);
    let size_of_headers = u32_at(image, headers.optional + 60)? as usize;

    let directories = u32_at(image, headers.optional + 108)? as usize;
    if directories > SECURITY && u32_at(image, headers.optional + 112 + SECURITY * 8 + 4)? != 0 {
        return Err(PeError::Signed);
    }
    let new_headers = headers.sections + headers.section_count * SECTION_HEADER;
    let room = size_of_headers.saturating_sub(new_headers) / SECTION_HEADER;
    if room < added.len() {
        return Err(PeError::NoRoom { room, wanted: added.len() });
    }

    let end_of_data =
        existing.iter().map(|section| section.offset as usize + section.size as usize).max().unwrap_or(0);
    let mut output = slice(image, 0, end_of_data.max(size_of_headers), "sections")?.to_vec();
    // An address at the very end of the 4 GiB fails when it is aligned.
    let mut address = existing
        .iter()
        .map(|section| section.address.saturating_add(section.memory.max(section.size)))
        .max()
        .unwrap_or(size_of_headers as u32);
    let mut initialised = u32_at(image, headers.optional + 8)?;

    for (index, section) in added.iter().enumerate() {
        if section.name.len() > 8 {
            return Err(PeError::Name(section.name.to_owned()));
        }
        if existing.iter().any(|other| other.name == section.name) {
            return Err(PeError::Duplicate(section.name.to_owned()));
        }
        pad(&mut output, file_alignment);
        let offset = u32::try_from(output.len()).map_err(|_| PeError::TooLarge)?;
        output.extend_from_slice(section.data);
        pad(&mut output, file_alignment);
        let size = u32::try_from(output.len()).map_err(|_| PeError::TooLarge)? - offset;
        let memory = section.memory.max(u32::try_from(section.data.len()).map_err(|_| PeError::TooLarge)?);
        address = align(address, section_alignment.max(PAGE))?;

        let header = new_headers + index * SECTION_HEADER;
        output[header..header + SECTION_HEADER].fill(0);
        output[header..header + section.name.len()].copy_from_slice(section.name.as_bytes());
        for (field, value) in [(8, memory), (12, address), (16, size), (20, offset), (36, CHARACTERISTICS)] {
            put(&mut output, header + field, value);
        }
        address = address.checked_add(memory).ok_or(PeError::TooLarge)?;
        initialised = initialised.checked_add(size).ok_or(PeError::TooLarge)?;
    }

    let count = u16::try_from(headers.section_count + added.len()).map_err(|_| PeError::TooLarge)?;
    output[headers.coff + 2..headers.coff + 4].copy_from_slice(&count.to_le_bytes());
    for cleared in [headers.coff + 4, headers.coff + 8, headers.coff + 12, headers.optional + 64] {
        put(&mut output, cleared, 0);
    }
    put(&mut output, headers.optional + 8, initialised);
    put(&mut output, headers.optional + 56, align(address, section_alignment)?);
    Ok(output)
}

impl Headers {
    fn of(image: &[u8]) -> Result<Self, PeError> {
        if !image.starts_with(b"MZ") {
            return Err(PeError::NotPe("MZ signature"));
        }
        let signature = u32_at(image, 60)? as usize;
        if slice(image, signature, 4, "headers")? != b"PE\0\0" {
            return Err(PeError::NotPe("PE signature"));
        }
        let coff = signature + 4;
        let optional = coff + 20;
        if slice(image, optional, 112, "headers")?[..2] != [0x0b, 0x02] {
            return Err(PeError::NotPe("PE32+ optional header"));
        }
        let section_count = usize::from(u16_at(image, coff + 2)?);
        let sections = optional + usize::from(u16_at(image, coff + 16)?);
        slice(image, sections, section_count * SECTION_HEADER, "section headers")?;
        Ok(Self { coff, optional, sections, section_count })
    }
}

fn slice<'a>(bytes: &'a [u8], start: usize, length: usize, what: &'static str) -> Result<&'a [u8], PeError> {
    let range: Range<usize> = start..start.checked_add(length).ok_or(PeError::Truncated(what))?;
    bytes.get(range).ok_or(PeError::Truncated(what))
}

fn u32_at(bytes: &[u8], offset: usize) -> Result<u32, PeError> {
    let field = slice(bytes, offset, 4, "headers")?;
    Ok(u32::from_le_bytes(field.try_into().expect("slice has the length asked for")))
}

fn u16_at(bytes: &[u8], offset: usize) -> Result<u16, PeError> {
    let field = slice(bytes, offset, 2, "headers")?;
    Ok(u16::from_le_bytes(field.try_into().expect("slice has the length asked for")))
}

fn put(bytes: &mut [u8], offset: usize, value: u32) {
    bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}

fn align(value: u32, alignment: u32) -> Result<u32, PeError> {
    value.checked_next_multiple_of(alignment).ok_or(PeError::TooLarge)
}

fn pad(bytes: &mut Vec<u8>, alignment: u32) {
    bytes.resize(bytes.len().next_multiple_of(alignment as usize), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A program with one section of 0x300 bytes at 0x1000, and symbols behind it.
    fn program(size_of_headers: u32) -> Vec<u8> {
        let mut image = vec![0; 0x40];
        image[..2].copy_from_slice(b"MZ");
        put(&mut image, 60, 0x40);
        image.extend_from_slice(b"PE\0\0");
        image.extend_from_slice(&[0x64, 0x86, 1, 0]);
        image.extend_from_slice(&[0xAA; 12]); // time stamp, symbol table
        image.extend_from_slice(&[240, 0, 0x06, 0x02]);
        let optional = image.len();
        image.resize(optional + 240, 0);
        image[optional..optional + 2].copy_from_slice(&[0x0b, 0x02]);
        for (field, value) in [
            (8, 0x400),
            (32, 0x1000),
            (36, 0x200),
            (56, 0x2000),
            (60, size_of_headers),
            (64, 0xBBBB),
            (108, 16),
        ] {
            put(&mut image, optional + field, value);
        }
        let header = image.len();
        image.resize(header + SECTION_HEADER, 0);
        image[header..header + 5].copy_from_slice(b".text");
        for (field, value) in [(8, 0x300), (12, 0x1000), (16, 0x400), (20, size_of_headers)] {
            put(&mut image, header + field, value);
        }
        image.resize(size_of_headers as usize, 0);
        image.resize(size_of_headers as usize + 0x400, 0xCC);
        image.extend_from_slice(b"symbols that no loader wants");
        image
    }

    fn section<'a>(name: &'a str, data: &'a [u8], memory: u32) -> NewSection<'a> {
        NewSection { name, data, memory }
    }

    #[test]
    fn added_sections_lie_behind_the_own_ones_on_pages_of_their_own() {
        let kernel = vec![7; 0x1001];
        let added =
            [section(".osrel", b"ID=x", 0), section(".linux", &kernel, 0x5000), section(".initrd", b"z", 0)];
        let image = append_sections(&program(0x400), &added).unwrap();
        let names: Vec<_> = sections(&image).unwrap();
        let expected = [
            (".text", 0x1000, 0x300, 0x400, 0x400),
            (".osrel", 0x2000, 4, 0x800, 0x200),
            (".linux", 0x3000, 0x5000, 0xA00, 0x1200),
            (".initrd", 0x8000, 1, 0x1C00, 0x200),
        ];
        let expected = expected.map(|(name, address, memory, offset, size)| Section {
            name: name.to_owned(),
            address,
            memory,
            offset,
            size,
        });
        assert_eq!(names, expected);
        assert_eq!(image.len(), 0x1E00);
        assert_eq!(&image[0x800..0x804], b"ID=x");
        assert_eq!(image[0xA00..0xA00 + kernel.len()], kernel);
        assert_eq!(size_of_image(&image), Ok(0x9000));
    }

    #[test]
    fn clocks_and_checksums_are_cleared() {
        let image = append_sections(&program(0x400), &[]).unwrap();
        let headers = Headers::of(&image).unwrap();
        assert_eq!(image[headers.coff + 4..headers.coff + 16], [0; 12]);
        assert_eq!(u32_at(&image, headers.optional + 64), Ok(0));
        assert_eq!(image.len(), 0x800, "symbols are dropped");
    }

    #[test]
    fn full_headers_duplicates_long_names_and_signatures_are_refused() {
        // One header fits into 0x200 bytes beside the 0x170 that are taken.
        let two =
            [section(".a", b"", 0), section(".b", b"", 0), section(".c", b"", 0), section(".d", b"", 0)];
        assert_eq!(append_sections(&program(0x200), &two), Err(PeError::NoRoom { room: 3, wanted: 4 }));
        let duplicate = append_sections(&program(0x400), &[section(".text", b"", 0)]);
        assert_eq!(duplicate, Err(PeError::Duplicate(".text".into())));
        let long = append_sections(&program(0x400), &[section(".much2long", b"", 0)]);
        assert_eq!(long, Err(PeError::Name(".much2long".into())));
        let mut signed = program(0x400);
        let table = Headers::of(&signed).unwrap().optional + 112 + SECURITY * 8;
        put(&mut signed, table + 4, 8);
        assert_eq!(append_sections(&signed, &[]), Err(PeError::Signed));
    }

    #[test]
    fn cut_files_are_errors_whatever_the_length() {
        let whole = program(0x400);
        for length in 0..0x800 {
            assert!(append_sections(&whole[..length], &[section(".a", b"x", 0)]).is_err(), "{length} bytes");
        }
        assert!(append_sections(&whole[..0x800], &[section(".a", b"x", 0)]).is_ok());
    }

    proptest! {
        #[test]
        fn damaged_headers_never_panic(position in 0usize..0x198, value in any::<u8>()) {
            let mut image = program(0x400);
            // Alignments of gigabytes would only make this test slow.
            let optional = Headers::of(&image).unwrap().optional;
            prop_assume!(!(optional + 32..optional + 40).contains(&position));
            image[position] = value;
            if let Ok(image) = append_sections(&image, &[section(".a", b"x", 0)]) {
                prop_assert!(sections(&image).unwrap().iter().any(|section| section.name == ".a"));
            }
        }
    }
}
