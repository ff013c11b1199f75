//! Which file of an EFI system partition the firmware should start (boot contract §G.4, IPA contract §8.8).

use std::io;

use super::fat::{Entry, Folder, list, read_file, subfolder};
use super::load_option::utf16;

/// Most bytes of a CSV file that are looked at.
const MAX_CSV: u64 = 64 << 10;
/// Longest label taken from a CSV file, in characters.
const MAX_LABEL: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loader {
    /// With backslashes, from the root of the partition.
    pub(super) path: String,
    pub(super) label: String,
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
    let vendors: Vec<Entry<'_, '_>> = list(&folder)?
        .into_iter()
        .filter(|entry| entry.is_dir() && !entry.file_name().eq_ignore_ascii_case("BOOT"))
        .collect();
    for vendor in &vendors {
        if let Some((file, label)) = from_csv(&vendor.to_dir(), architecture)? {
            let path = format!("\\{efi}\\{}\\{file}", vendor.file_name());
            return Ok(Some(Loader { path, label }));
        }
    }
    for vendor in &vendors {
        let name = vendor.file_name();
        if let Some(file) = known_loader(&vendor.to_dir(), architecture)? {
            return Ok(Some(Loader { path: format!("\\{efi}\\{name}\\{file}"), label: name }));
        }
        if name.eq_ignore_ascii_case("Microsoft")
            && let Some((boot, folder)) = subfolder(&vendor.to_dir(), "Boot")?
            && let Some(file) = file_named(&folder, "bootmgfw.efi")?
        {
            let path = format!("\\{efi}\\{name}\\{boot}\\{file}");
            return Ok(Some(Loader { path, label: "Windows Boot Manager".to_owned() }));
        }
    }
    let Some((boot, folder)) = subfolder(&folder, "BOOT")? else { return Ok(None) };
    let file = file_named(&folder, &format!("BOOT{architecture}.EFI"))?;
    Ok(file.map(|file| Loader { path: format!("\\{efi}\\{boot}\\{file}"), label: label.to_owned() }))
}

/// File and label of the first record of `BOOT<ARCH>.CSV` or `BOOT.CSV` whose file lies beside it.
fn from_csv(folder: &Folder<'_, '_>, architecture: &str) -> io::Result<Option<(String, String)>> {
    let entries = list(folder)?;
    for wanted in [format!("BOOT{architecture}.CSV"), "BOOT.CSV".to_owned()] {
        let csv =
            entries.iter().find(|entry| entry.is_file() && entry.file_name().eq_ignore_ascii_case(&wanted));
        let Some(csv) = csv else { continue };
        let Some((file, label)) = first_record(&read_file(csv, MAX_CSV)?) else { continue };
        // Taken from the folder's own list, so that a name with a path in it finds nothing.
        let target =
            entries.iter().find(|entry| entry.is_file() && entry.file_name().eq_ignore_ascii_case(&file));
        if let Some(target) = target {
            return Ok(Some((target.file_name(), label)));
        }
    }
    Ok(None)
}

/// The first line with a file and a label, in UTF-16LE with or without a byte order mark.
fn first_record(content: &[u8]) -> Option<(String, String)> {
    let text = utf16(content.strip_prefix(&[0xff, 0xfe]).unwrap_or(content));
    text.split(['\r', '\n', '\0']).find_map(|line| {
        let mut columns = line.split(',').map(str::trim);
        let (file, label) = (columns.next()?, columns.next()?);
        let label: String = label.chars().filter(|c| !c.is_control()).take(MAX_LABEL).collect();
        (!file.is_empty() && !label.is_empty()).then(|| (file.to_owned(), label))
    })
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
    use super::first_record;

    fn encode(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn first_complete_record_counts() {
        let expected = Some(("shimx64.efi".to_owned(), "debian".to_owned()));
        let text = "\r\nshimx64.efi,debian,,This is the boot entry for debian\r\ngrubx64.efi,other\n";
        assert_eq!(first_record(&encode(text)), expected);
        assert_eq!(first_record(&[vec![0xff, 0xfe], encode(text)].concat()), expected);
        assert_eq!(first_record(&encode("only-a-file\n,label\nshimx64.efi, debian")), expected);
        assert_eq!(first_record(b"shimx64.efi,debian"), None);
        assert_eq!(first_record(&[]), None);
    }
}
