//! Block maps.

use ring::digest::{SHA256, digest};

use crate::bmap::Bmap;

const CHECKSUM: &str = "<BmapFileChecksum>";

/// A block map; its own checksum is made right where it has the digits of one.
///
/// # Panics
///
/// When a map is accepted that does not say of every byte of its image, once, what it is, or that is another one after
/// having been written and read.
pub fn bmap(data: &[u8]) {
    let mut data = data.to_vec();
    seal(&mut data);
    let Ok(map) = Bmap::parse(&data) else { return };
    let mut parts: Vec<_> = map.ranges().map(|range| range.bytes).collect();
    assert!(parts.is_sorted_by(|a, b| a.end <= b.start), "the ranges do not ascend");
    assert_eq!(parts.iter().map(|part| part.end - part.start).sum::<u64>(), map.mapped_bytes());
    parts.extend(map.holes());
    parts.sort_by_key(|part| part.start);
    let mut end = 0;
    for part in parts {
        assert!(part.start == end && part.start < part.end, "{part:?} follows {end}");
        end = part.end;
    }
    assert_eq!(end, map.image_size());
    let again = Bmap::parse(map.to_string().as_bytes()).expect("what was written can be read");
    assert!(again.ranges().eq(map.ranges()) && again.image_size() == map.image_size());
}

fn seal(data: &mut [u8]) {
    let Some(tag) = data.windows(CHECKSUM.len()).position(|window| window == CHECKSUM.as_bytes()) else {
        return;
    };
    let blanks = data[tag + CHECKSUM.len()..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let at = tag + CHECKSUM.len() + blanks;
    let Some(digits) = data.get_mut(at..at + 64).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    else {
        return;
    };
    digits.fill(b'0');
    let hex: String = digest(&SHA256, data).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    data[at..at + 64].copy_from_slice(hex.as_bytes());
}
