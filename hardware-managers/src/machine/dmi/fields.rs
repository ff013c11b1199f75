//! The fields of one structure, in the order in which they are shown.

use serde_json::{Map, Value};

use crate::machine::smbios::Structure;

/// What stands where a code is in no table.
const UNSPECIFIED: &str = "<OUT OF SPEC>";

pub(super) struct Fields<'a> {
    pub(super) of: &'a Structure,
    shown: Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(of: &'a Structure) -> Self {
        let mut shown = Map::new();
        let handle = format!("Handle 0x{:04X}, DMI type {}, {} bytes", of.handle(), of.kind(), of.length());
        shown.insert("Handle".to_owned(), handle.into());
        Self { of, shown }
    }

    pub(super) fn done(self) -> Map<String, Value> {
        self.shown
    }

    /// Whether the structure is at least so long that it has the fields that follow.
    pub(super) fn reaches(&self, length: usize) -> bool {
        self.of.length() >= length
    }

    pub(super) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.shown.insert(name.to_owned(), value.into());
    }

    /// The string whose number stands at `at`.
    pub(super) fn text(&mut self, name: &str, at: usize) {
        let text = match self.of.byte(at) {
            None | Some(0) => "Not Specified".to_owned(),
            Some(number) => self.of.string(number).map_or_else(|| "<BAD INDEX>".to_owned(), printable),
        };
        self.put(name, text.trim());
    }

    pub(super) fn hexadecimal(&mut self, name: &str, at: usize) {
        self.put(name, format!("0x{:04X}", self.word(at)));
    }

    /// The word of a table that a byte stands for.
    pub(super) fn coded(&mut self, name: &str, at: usize, table: &[(u8, &str)]) {
        let code = self.byte(at);
        let word = table.iter().find(|(known, _)| *known == code).map_or(UNSPECIFIED, |(_, word)| word);
        self.put(name, word);
    }

    /// As [`Fields::coded`], of a table that begins with code 1 and has no gaps.
    pub(super) fn listed(&mut self, name: &str, at: usize, table: &[&str]) {
        let at = usize::from(self.byte(at)).checked_sub(1);
        self.put(name, at.and_then(|at| table.get(at)).copied().unwrap_or(UNSPECIFIED));
    }

    pub(super) fn coded_word(&mut self, name: &str, code: u16, table: &[(u16, &str)]) {
        let word = table.iter().find(|(known, _)| *known == code).map_or(UNSPECIFIED, |(_, word)| word);
        self.put(name, word);
    }

    // The callers know by `reaches` that these bytes are there.
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.of.byte(at).unwrap_or(0)
    }

    pub(super) fn word(&self, at: usize) -> u16 {
        self.of.word(at).unwrap_or(0)
    }

    pub(super) fn double_word(&self, at: usize) -> u32 {
        self.of.double_word(at).unwrap_or(0)
    }

    pub(super) fn quad_word(&self, at: usize) -> u64 {
        u64::from(self.double_word(at)) | u64::from(self.double_word(at + 4)) << 32
    }
}

/// The words of the bits that are set, the first of which is `first`.
pub(super) fn of_bits(bits: u64, first: u32, words: &[&'static str]) -> Vec<&'static str> {
    (first..).zip(words).filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, word)| *word).collect()
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '.' }).collect()
}

/// A size with the unit that keeps it whole, or nearly so: `1536 kB`, `96 GB`. `unit` is that of `size`: 0 for bytes,
/// 1 for kB.
pub(super) fn size(size: u64, unit: usize) -> String {
    const UNITS: [&str; 8] = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB", "ZB"];
    let digit = |at: usize| size >> (10 * at) & 0x3ff;
    let mut at = (1..=6).rev().find(|at| digit(*at) != 0).unwrap_or(0);
    let mut shown = digit(at);
    if at > 0 && digit(at - 1) != 0 {
        shown = digit(at - 1) + (shown << 10);
        at -= 1;
    }
    format!("{shown} {}", UNITS[at + unit])
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_keep_two_digits_of_1024() {
        assert_eq!(size(0, 1), "0 kB");
        assert_eq!(size(1536, 1), "1536 kB");
        assert_eq!(size(96 << 20, 1), "96 GB");
        assert_eq!(size(2 << 40, 0), "2 TB");
        assert_eq!(size((1 << 30) + (512 << 20) + 1, 0), "1536 MB");
        assert_eq!(size(u64::MAX, 0), "16383 PB");
    }
}
