//! Which file of an EFI system partition the firmware should start (boot contract §G.4, IPA contract §8.8).

use std::io;

use super::fat::{Entry, Folder, list, read_file, subfolder};
use super::load_option::utf16;

/// Most bytes of a CSV file that are looked at.
const MAX_CSV: u64 = 64 << 10;
/// Longest command line taken from a CSV file, in characters.
const MAX_OPTIONS: usize = 1024;
/// Longest label taken from a CSV file, in characters.
const MAX_LABEL: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loader {
    /// With backslashes, from the root of the partition.
    pub(super) path: String,
    pub(super) label: String,
    /// Command line for the loader; only a vendor's CSV file gives one.
    pub(super) options: String,
    /// The file that firmware starts without an entry, where the partition has it.
    pub(super) fallback: Option<String>,
}

impl Loader {
    fn plain(path: String, label: String) -> Self {
        Self { path, label, options: String::new(), fallback: None }
    }
}

/// Part of loader names that stands for a processor architecture, `x64` for `BOOTX64.EFI`.
pub(super) fn firmware_architecture(architecture: &str) -> &str {
    match architecture {
        "x86_64" => "x64",
        "aarch64" => "aa64",
        "x86" => "ia32",
        "arm" => "arm",
        other => other,
    }
}

/// Chooses by a vendor's CSV file, else a known loader in a vendor's folder, else the removable-media path. `None`
/// when there is nothing to start.
pub(super) fn choose(root: &Folder<'_, '_>, architecture: &str, label: &str) -> io::Result<Option<Loader>> {
    let Some((efi, folder)) = subfolder(root, "EFI")? else { return Ok(None) };
    let fallback = fallback(&efi, &folder, architecture)?;
    let vendors = of_vendor(&efi, &folder, architecture)?;
    let found = vendors.or_else(|| Some(Loader::plain(fallback.clone()?, label.to_owned())));
    Ok(found.map(|loader| Loader { fallback, ..loader }))
}

/// The removable-media path: what firmware starts from a disk of which it has no entry.
fn fallback(efi: &str, folder: &Folder<'_, '_>, architecture: &str) -> io::Result<Option<String>> {
    let Some((boot, folder)) = subfolder(folder, "BOOT")? else { return Ok(None) };
    let file = file_named(&folder, &format!("BOOT{architecture}.EFI"))?;
    Ok(file.map(|file| format!("\\{efi}\\{boot}\\{file}")))
}

fn of_vendor(efi: &str, folder: &Folder<'_, '_>, architecture: &str) -> io::Result<Option<Loader>> {
    let vendors: Vec<Entry<'_, '_>> = list(folder)?
        .into_iter()
        .filter(|entry| entry.is_dir() && !entry.file_name().eq_ignore_ascii_case("BOOT"))
        .collect();
    for vendor in &vendors {
        if let Some(Record { file, label, options }) = from_csv(&vendor.to_dir(), architecture)? {
            let path = format!("\\{efi}\\{}\\{file}", vendor.file_name());
            return Ok(Some(Loader { path, label, options, fallback: None }));
        }
    }
    for vendor in &vendors {
        let name = vendor.file_name();
        if let Some(file) = known_loader(&vendor.to_dir(), architecture)? {
            return Ok(Some(Loader::plain(format!("\\{efi}\\{name}\\{file}"), name)));
        }
        if name.eq_ignore_ascii_case("Microsoft")
            && let Some((boot, folder)) = subfolder(&vendor.to_dir(), "Boot")?
            && let Some(file) = file_named(&folder, "bootmgfw.efi")?
        {
            let path = format!("\\{efi}\\{name}\\{boot}\\{file}");
            return Ok(Some(Loader::plain(path, "Windows Boot Manager".to_owned())));
        }
    }
    Ok(None)
}

/// A line of a vendor's CSV file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    file: String,
    label: String,
    options: String,
}

/// The first record of `BOOT<ARCH>.CSV`, else of `BOOT.CSV`, whose file lies beside it.
fn from_csv(folder: &Folder<'_, '_>, architecture: &str) -> io::Result<Option<Record>> {
    let entries = list(folder)?;
    let named = |wanted: &str| {
        entries.iter().find(|entry| entry.is_file() && entry.file_name().eq_ignore_ascii_case(wanted))
    };
    for wanted in [format!("BOOT{architecture}.CSV"), "BOOT.CSV".to_owned()] {
        let Some(csv) = named(&wanted) else { continue };
        for record in records(&read_file(csv, MAX_CSV)?) {
            // Taken from the folder's own list, so that a name with a path in it finds nothing.
            if let Some(target) = named(&record.file) {
                return Ok(Some(Record { file: target.file_name(), ..record }));
            }
        }
    }
    Ok(None)
}

/// Every line with a file and a label, in UTF-16: little-endian, unless a byte order mark says otherwise.
fn records(content: &[u8]) -> Vec<Record> {
    let text = match content.strip_prefix(&[0xfe, 0xff]) {
        Some(big_endian) => {
            utf16(&big_endian.chunks_exact(2).flat_map(|unit| [unit[1], unit[0]]).collect::<Vec<_>>())
        }
        None => utf16(content.strip_prefix(&[0xff, 0xfe]).unwrap_or(content)),
    };
    text.split(['\r', '\n', '\0'])
        .filter_map(|line| {
            let mut columns = line.split(',').map(str::trim);
            let (file, label) = (columns.next()?, columns.next()?);
            let plain =
                |text: &str, most| text.chars().filter(|c| !c.is_control()).take(most).collect::<String>();
            let record = Record {
                file: file.to_owned(),
                label: plain(label, MAX_LABEL),
                options: plain(columns.next().unwrap_or_default(), MAX_OPTIONS),
            };
            (!record.file.is_empty() && !record.label.is_empty()).then_some(record)
        })
        .collect()
}

/// A loader that is known by its name; shim before what it would start.
fn known_loader(folder: &Folder<'_, '_>, architecture: &str) -> io::Result<Option<String>> {
    let names = [
        format!("shim{architecture}.efi"),
        format!("grub{architecture}.efi"),
        format!("systemd-boot{architecture}.efi"),
        format!("boot{architecture}.efi"),
        "shim.efi".to_owned(),
        "winload.efi".to_owned(),
    ];
    let entries = list(folder)?;
    Ok(names.iter().find_map(|name| {
        let entry =
            entries.iter().find(|entry| entry.is_file() && entry.file_name().eq_ignore_ascii_case(name))?;
        Some(entry.file_name())
    }))
}

fn file_named(folder: &Folder<'_, '_>, name: &str) -> io::Result<Option<String>> {
    let found = list(folder)?
        .into_iter()
        .find(|entry| entry.is_file() && entry.file_name().eq_ignore_ascii_case(name));
    Ok(found.map(|entry| entry.file_name()))
}

#[cfg(test)]
mod tests {
    use super::{Record, records};

    fn encode(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn record(file: &str, label: &str, options: &str) -> Record {
        Record { file: file.to_owned(), label: label.to_owned(), options: options.to_owned() }
    }

    #[test]
    fn complete_lines_are_records() {
        let text = "\r\nshimx64.efi,debian,,This is the boot entry for debian\r\ngrubx64.efi,other, a=b \n";
        let expected = [record("shimx64.efi", "debian", ""), record("grubx64.efi", "other", "a=b")];
        assert_eq!(records(&encode(text)), expected);
        assert_eq!(records(&[vec![0xff, 0xfe], encode(text)].concat()), expected);
        let big_endian: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(records(&[vec![0xfe, 0xff], big_endian].concat()), expected);
        let cut = encode("only-a-file\n,label\nshimx64.efi, debian");
        assert_eq!(records(&cut), [record("shimx64.efi", "debian", "")]);
        assert_eq!(records(b"shimx64.efi,debian"), []);
        assert_eq!(records(&[]), []);
    }
}
