//! Checksum files (IPA contract §8.3): one bare digest, or lines that name files.

/// The digest for `file_name` in the text of a checksum file, lower case. A text of one word is the digest itself.
pub fn find_checksum(text: &str, file_name: &str) -> Option<String> {
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    if let [only] = lines[..]
        && is_digest(only)
    {
        return Some(only.to_ascii_lowercase());
    }
    lines.iter().find_map(|line| digest_for(line, file_name))
}

fn digest_for(line: &str, file_name: &str) -> Option<String> {
    // GNU: `digest  name` or `digest *name`.
    if let Some((digest, name)) = line.split_once(char::is_whitespace) {
        let name = name.trim_start();
        if is_digest(digest) && matches_name(name.strip_prefix('*').unwrap_or(name), file_name) {
            return Some(digest.to_ascii_lowercase());
        }
    }
    // BSD: `SHA256 (name) = digest`.
    let (head, digest) = line.rsplit_once('=')?;
    let digest = digest.trim();
    let name = head.trim_end().strip_suffix(')')?.split_once('(')?.1;
    (is_digest(digest) && matches_name(name, file_name)).then(|| digest.to_ascii_lowercase())
}

fn matches_name(name: &str, wanted: &str) -> bool {
    !wanted.is_empty() && (name == wanted || name.strip_prefix("./") == Some(wanted))
}

fn is_digest(text: &str) -> bool {
    text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn bare() {
        assert_eq!(find_checksum(&format!("{A}\n"), "x"), Some(A.to_lowercase()));
    }

    #[test]
    fn lists() {
        let gnu = format!("# comment\n{A}  other.img\n{B} *disk.img\n");
        assert_eq!(find_checksum(&gnu, "disk.img").as_deref(), Some(B));
        assert_eq!(find_checksum(&gnu, "isk.img"), None);
        let bsd = format!("SHA256 (disk.img) = {B}\nSHA256 (other.img) = {A}\n");
        assert_eq!(find_checksum(&bsd, "disk.img").as_deref(), Some(B));
        assert_eq!(find_checksum(&format!("{A}  ./disk.img\n{B}  x\n"), "disk.img"), Some(A.to_lowercase()));
    }

    #[test]
    fn no_match_is_none() {
        assert_eq!(find_checksum("", "x"), None);
        assert_eq!(find_checksum("hello", "x"), None);
        assert_eq!(find_checksum(&format!("{A}  a\n{B}  b\n"), ""), None);
    }
}
