//! The identification of an ATA disk behind the kernel's SCSI translation, from the ATA information page (SAT-5,
//! 12.4.2) that the kernel keeps in sysfs.

use std::fs;
use std::path::Path;

/// Where the 512 bytes of IDENTIFY DEVICE begin in the page.
const IDENTIFY: usize = 60;

/// Names in full length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AtaPage {
    pub(super) model: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) firmware: Option<String>,
}

impl AtaPage {
    /// `None` for a disk that is none of ATA.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        Self::parse(&fs::read(folder.join("device/vpd_pg89")).ok()?)
    }

    fn parse(page: &[u8]) -> Option<Self> {
        if page.get(1) != Some(&0x89) {
            return None;
        }
        let identify = page.get(IDENTIFY..IDENTIFY + 512)?;
        // ACS-5, 9.11.7: words 10 to 19, 23 to 26, 27 to 46.
        Some(Self {
            serial: text(&identify[20..40]),
            firmware: text(&identify[46..54]),
            model: text(&identify[54..94]),
        })
    }
}

/// ATA strings have the two characters of each word in the wrong order.
fn text(words: &[u8]) -> Option<String> {
    let bytes: Vec<u8> = words.chunks_exact(2).flat_map(|word| [word[1], word[0]]).collect();
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swapped(text: &str, length: usize) -> Vec<u8> {
        format!("{text:length$}").as_bytes().chunks_exact(2).flat_map(|pair| [pair[1], pair[0]]).collect()
    }

    #[test]
    fn names_are_whole() {
        let mut page = vec![0_u8; 572];
        page[..4].copy_from_slice(&[0, 0x89, 2, 0x38]);
        page[80..100].copy_from_slice(&swapped("S3Z8NB0K", 20));
        page[106..114].copy_from_slice(&swapped("RVT04B6Q", 8));
        page[114..154].copy_from_slice(&swapped("Samsung SSD 860 EVO 500GB", 40));
        let names = AtaPage::parse(&page).unwrap();
        assert_eq!(names.model.as_deref(), Some("Samsung SSD 860 EVO 500GB"));
        assert_eq!(names.serial.as_deref(), Some("S3Z8NB0K"));
        assert_eq!(names.firmware.as_deref(), Some("RVT04B6Q"));
        for length in 0..page.len() {
            assert_eq!(AtaPage::parse(&page[..length]), None);
        }
        page[1] = 0x83;
        assert_eq!(AtaPage::parse(&page), None);
    }
}
