//! Finds bytes in a file that is too large to hold: where a medium's reserved region lies.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const STEP: usize = 1024 * 1024;

/// Offsets of all occurrences of `needle` in the file, at most `limit` of them. Reads a MiB at a time.
pub fn find(file: &File, needle: &[u8], limit: usize) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    let Some((&first, _)) = needle.split_first() else { return Ok(found) };
    let mut buffer = vec![0; STEP + needle.len() - 1];
    let mut offset = 0;
    loop {
        let filled = read_full_at(file, offset, &mut buffer)?;
        // A match that starts in the overlap would be found again as the next step's first bytes.
        let starts = STEP.min((filled + 1).saturating_sub(needle.len()));
        let mut at = 0;
        while let Some(next) = buffer[at..starts].iter().position(|&byte| byte == first) {
            at += next;
            if buffer[at..filled].starts_with(needle) {
                found.push(offset + at as u64);
                if found.len() == limit {
                    return Ok(found);
                }
            }
            at += 1;
        }
        if filled < buffer.len() {
            return Ok(found);
        }
        offset += STEP as u64;
    }
}

/// Fills `buffer` as far as the file goes.
pub fn read_full_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn needles_are_found_wherever_they_straddle_a_step() {
        let needle = b"NEEDLE";
        for start in (STEP - 8..STEP + 3).chain([0, 3 * STEP - 6]) {
            let mut bytes = vec![b'N'; 3 * STEP];
            bytes[start..start + needle.len()].copy_from_slice(needle);
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            assert_eq!(find(&file, needle, 9).unwrap(), [start as u64]);
        }
    }

    #[test]
    fn neither_short_files_nor_cut_needles_match() {
        for content in ["", "N", "NEEDL", "xxxNEEDL"] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(content.as_bytes()).unwrap();
            assert!(find(&file, b"NEEDLE", 9).unwrap().is_empty());
        }
    }

    #[test]
    fn the_limit_ends_the_search() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"ab ab ab").unwrap();
        assert_eq!(find(&file, b"ab", 2).unwrap(), [0, 3]);
    }
}
