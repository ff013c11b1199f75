//! Aliases of modules: shell patterns against what a device says of itself.

/// Whether `text` matches `pattern` with the wildcards `*`, `?` and `[…]` (ranges, `!` or `^` negates).
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where the last star was, and up to where it reaches so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if let Some(next) = match_one(pattern, p, text[t]) {
            (p, t) = (next, t + 1);
        } else if let Some((star_at, reach)) = star {
            star = Some((star_at, reach + 1));
            (p, t) = (star_at + 1, reach + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Position behind the element at `p` if that element matches `byte`.
fn match_one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => {
            let close = p + 1 + pattern[p + 1..].iter().position(|byte| *byte == b']')?;
            let set = &pattern[p + 1..close];
            let (negated, set) = match set.first() {
                Some(b'!' | b'^') => (true, &set[1..]),
                _ => (false, set),
            };
            (in_set(set, byte) != negated).then_some(close + 1)
        }
        literal => (literal == byte).then_some(p + 1),
    }
}

fn in_set(set: &[u8], byte: u8) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set.get(at + 1) == Some(&b'-') && at + 2 < set.len() {
            if (set[at]..=set[at + 2]).contains(&byte) {
                return true;
            }
            at += 3;
        } else {
            if set[at] == byte {
                return true;
            }
            at += 1;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn real_aliases() {
        let nic = "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00";
        assert!(matches("pci:v00001AF4d*sv*sd*bc*sc*i*", nic));
        assert!(!matches("pci:v00008086d*sv*sd*bc*sc*i*", nic));
        assert!(matches("virtio:d00000001v*", "virtio:d00000001v00001AF4"));
        assert!(matches("usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", "usb:v1p2d3dc4dsc5dp6ic08isc06ip50in00"));
    }

    #[test]
    fn wildcards() {
        assert!(matches("*", ""));
        assert!(matches("a?c", "abc"));
        assert!(!matches("a?c", "ac"));
        assert!(matches("x[0-3a]y", "x2y"));
        assert!(matches("x[0-3a]y", "xay"));
        assert!(!matches("x[0-3a]y", "x4y"));
        assert!(matches("x[!0-3]y", "x4y"));
        assert!(!matches("abc", "abcd"));
        assert!(matches("*b*d", "aabbccdd"));
        assert!(!matches("x[0-3", "x2"));
    }
}
