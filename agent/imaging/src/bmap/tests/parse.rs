use proptest::prelude::*;

use super::super::map::Blocks;
use super::super::{Bmap, BmapError, BmapVersion, Sha256};

const REAL: &str = include_str!("bmaptool.bmap");

/// The map with its checksum made right again, so that what was changed is looked at.
fn sealed(text: &str) -> Vec<u8> {
    let tag = "<BmapFileChecksum> ";
    let at = text.rfind(tag).unwrap() + tag.len();
    let mut text = text.to_owned();
    text.replace_range(at..at + 64, &"0".repeat(64));
    let sum = Sha256::of(text.as_bytes()).to_string();
    text.replace_range(at..at + 64, &sum);
    text.into_bytes()
}

fn changed(from: &str, to: &str) -> Result<Bmap, BmapError> {
    assert!(REAL.contains(from), "{from}");
    Bmap::parse(&sealed(&REAL.replacen(from, to, 1)))
}

#[test]
fn a_map_of_bmaptool_is_read() {
    let map = Bmap::parse(REAL.as_bytes()).unwrap();
    assert_eq!(map.version(), BmapVersion::V2_0);
    assert_eq!((map.image_size(), map.block_size(), map.block_count()), (32000, 4096, 8));
    assert_eq!((map.mapped_blocks(), map.mapped_bytes()), (4, 12288 + 3328));
    let letters = |len| Sha256::of(&vec![b'a'; len]);
    let ranges: Vec<_> = map.ranges().map(|range| (range.bytes, range.sha256)).collect();
    assert_eq!(
        ranges,
        [(0..8192, letters(8192)), (20480..24576, letters(4096)), (28672..32000, letters(3328))]
    );
    assert_eq!(map.holes().collect::<Vec<_>>(), [8192..20480, 24576..28672]);
    assert_eq!(Bmap::parse(map.to_string().as_bytes()).unwrap(), map);
}

#[test]
fn what_changes_nothing_is_allowed() {
    let real = Bmap::parse(REAL.as_bytes()).unwrap();
    for (from, to) in [
        (">sha256<", ">SHA256<"),
        (" sha256 ", "\n sha256\t"),
        (" 0-1 ", "0 - 1"),
        ("<BlockMap>", "<!-- <BlockMap> & </bmap> --><BlockMap>"),
        ("</bmap>", "</bmap>\n<!-- end -->\n"),
        ("<?xml version=\"1.0\" ?>", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"),
        ("<?xml version=\"1.0\" ?>", ""),
        ("dd4e67", "DD4E67"),
    ] {
        if REAL.contains(from) {
            assert_eq!(changed(from, to).unwrap(), real, "{to}");
        }
    }
    assert_eq!(changed("\"2.0\"", "\"1.4\"").unwrap().version(), BmapVersion::V1_4);
}

#[test]
fn every_changed_byte_is_noticed() {
    for at in 0..REAL.len() {
        let mut bytes = REAL.as_bytes().to_vec();
        bytes[at] ^= 1;
        // The case of hexadecimal digits is no difference, and the checksum's own digits are the only ones outside of it.
        Bmap::parse(&bytes).expect_err(&format!("byte {at}"));
    }
    for len in 0..REAL.trim_end().len() {
        Bmap::parse(&REAL.as_bytes()[..len]).unwrap_err();
    }
}

#[test]
fn sha1_is_refused_by_name() {
    for (from, to) in [
        ("<ChecksumType> sha256", "<ChecksumType> sha1"),
        ("chksum=\"dd", "sha1=\"dd"),
        ("<ImageSize>", "<BmapFileSHA1> 00 </BmapFileSHA1><ImageSize>"),
    ] {
        let error = changed(from, to).unwrap_err();
        assert!(matches!(&error, BmapError::ChecksumType(name) if name == "sha1"), "{error}");
    }
    // Version 1.3 does not name its digest: it is sha1.
    let old = REAL.replace("2.0", "1.3").replace("<ChecksumType> sha256 </ChecksumType>", "");
    assert!(matches!(Bmap::parse(&sealed(&old)), Err(BmapError::ChecksumType(name)) if name == "sha1"));
    assert_eq!(changed("2.0", "1.3").unwrap().version(), BmapVersion::V1_3);
}

#[test]
fn wrong_structure_is_refused() {
    let unexpected: &[(&str, &str)] = &[
        ("<bmap", "<!DOCTYPE bmap [<!ENTITY a \"b\">]><bmap"),
        ("<bmap", "<?php ?><bmap"),
        ("<bmap", "x<bmap"),
        ("<bmap", "<map"),
        ("<ImageSize> 32000", "<ImageSize> &#51;2000"),
        ("<ImageSize> 32000", "<ImageSize> 3<!-- -->2000"),
        ("<ImageSize> 32000", "<ImageSize> <![CDATA[32000]]>"),
        ("<ImageSize> 32000", "<ImageSize> <b> 32000 </b>"),
        ("<ImageSize>", "<ImageSize unit=\"MiB\">"),
        ("<BlockMap>", "<BlockMap><Hole> 3 </Hole>"),
        ("<BlockMap>", "<Other/><BlockMap>"),
        ("<Range ", "<Range note=\"\" "),
        ("</bmap>", "</bmap><bmap/>"),
        ("</bmap>", "</bmap>x"),
        ("?>", "encoding=\"utf-16\"?>"),
    ];
    for (from, to) in unexpected {
        let error = changed(from, to).unwrap_err();
        assert!(matches!(error, BmapError::Unexpected { .. } | BmapError::Xml { .. }), "{to}: {error}");
    }
    for element in ["ImageSize", "BlockSize", "BlocksCount", "MappedBlocksCount", "ChecksumType", "BlockMap"]
    {
        let start = REAL.find(&format!("<{element}>")).unwrap();
        let close = format!("</{element}>");
        let end = REAL.find(&close).unwrap() + close.len();
        let without = sealed(&[&REAL[..start], &REAL[end..]].concat());
        assert!(
            matches!(Bmap::parse(&without), Err(BmapError::Missing { element: which }) if which == element)
        );
        let twice = sealed(&[&REAL[..end], &REAL[start..]].concat());
        assert!(
            matches!(Bmap::parse(&twice), Err(BmapError::Twice { element: which, .. }) if which == element)
        );
    }
    assert!(matches!(changed("2.0", "2.1"), Err(BmapError::Version(_))));
    assert!(matches!(changed("2.0", ""), Err(BmapError::Version(_))));
    let no_digest = format!(" chksum=\"{}\"", Sha256::of(&[b'a'; 8192]));
    assert!(matches!(changed(&no_digest, ""), Err(BmapError::NoDigest { first: 0, last: 1 })));
}

#[test]
fn hostile_numbers_are_refused() {
    type Check = fn(&BmapError) -> bool;
    let cases: &[(&str, &str, Check)] = &[
        ("32000", "0", |error| matches!(error, BmapError::ImageSize(0))),
        ("32000", "9223372036854775808", |error| matches!(error, BmapError::ImageSize(_))),
        ("32000", "18446744073709551616", |error| matches!(error, BmapError::Value { .. })),
        ("32000", "-1", |error| matches!(error, BmapError::Value { .. })),
        ("32000", "+1", |error| matches!(error, BmapError::Value { .. })),
        ("32000", "0x10", |error| matches!(error, BmapError::Value { .. })),
        ("32000", "", |error| matches!(error, BmapError::Value { .. })),
        ("32000", "8192", |error| matches!(error, BmapError::Beyond { first: 5, last: 5, blocks: 2 })),
        ("32000", "36864", |error| matches!(error, BmapError::Count { said: 8, found: 9, .. })),
        ("> 4096 <", "> 0 <", |error| matches!(error, BmapError::BlockSize(0))),
        ("> 4096 <", "> 4097 <", |error| matches!(error, BmapError::BlockSize(4097))),
        ("> 4096 <", "> 2147483648 <", |error| matches!(error, BmapError::BlockSize(_))),
        ("> 4 <", "> 5 <", |error| matches!(error, BmapError::Count { said: 5, found: 4, .. })),
        (" 0-1 ", " 1-0 ", |error| matches!(error, BmapError::Order { .. })),
        (" 0-1 ", " 0-5 ", |error| matches!(error, BmapError::Order { first: 5, last: 5 })),
        (" 0-1 ", " 6 ", |error| matches!(error, BmapError::Order { first: 5, last: 5 })),
        (" 0-1 ", " 0-18446744073709551615 ", |error| matches!(error, BmapError::Beyond { .. })),
        (" 0-1 ", " 18446744073709551615 ", |error| matches!(error, BmapError::Beyond { .. })),
        (" 0-1 ", " 0-1-2 ", |error| matches!(error, BmapError::Value { .. })),
        (" 0-1 ", " - ", |error| matches!(error, BmapError::Value { .. })),
        (" 7 ", " 8 ", |error| matches!(error, BmapError::Beyond { first: 8, last: 8, blocks: 8 })),
        ("dd4e", "gd4e", |error| matches!(error, BmapError::Value { .. })),
        ("dd4e", "d4e", |error| matches!(error, BmapError::Value { .. })),
    ];
    for (from, to, expected) in cases {
        let error = changed(from, to).unwrap_err();
        assert!(expected(&error), "{to}: {error:?}");
    }
    let large = vec![b' '; Bmap::MAX_BYTES + 1];
    assert!(matches!(Bmap::parse(&large), Err(BmapError::TooLarge { .. })));
    let range = |first: u64| Blocks { first, last: first, sha256: Sha256([0; 32]) };
    let many = (0..=Bmap::MAX_RANGES as u64).map(range).collect();
    let error = Bmap::new(BmapVersion::V2_0, 1 << 40, 4096, many).unwrap_err();
    assert!(matches!(error, BmapError::TooManyRanges { .. }));
}

/// The largest map that there can be is written within the size that is read.
#[test]
fn the_largest_map_is_read_back() {
    let far = (i64::MAX as u64) / 4096 - 3 * Bmap::MAX_RANGES as u64;
    let range = |index: u64| Blocks {
        first: far + 3 * index,
        last: far + 3 * index + 1,
        sha256: Sha256([index as u8; 32]),
    };
    let ranges = (0..Bmap::MAX_RANGES as u64).map(range).collect();
    let map = Bmap::new(BmapVersion::V2_0, i64::MAX as u64, 4096, ranges).unwrap();
    let text = map.to_string();
    assert!(text.len() <= Bmap::MAX_BYTES, "{}", text.len());
    assert_eq!(Bmap::parse(text.as_bytes()).unwrap(), map);
}

fn any_map() -> impl Strategy<Value = Bmap> {
    let block_size = (9..=20u32).prop_map(|shift| 1u64 << shift);
    let steps = prop::collection::vec((0..50u64, 1..50u64, any::<[u8; 32]>()), 0..40);
    (block_size, steps, 0..20u64, any::<u64>()).prop_map(|(block_size, steps, behind, cut)| {
        let mut ranges = Vec::new();
        let mut free = 0;
        for (gap, len, sha256) in steps {
            let first = free + gap;
            free = first + len;
            ranges.push(Blocks { first, last: free - 1, sha256: Sha256(sha256) });
        }
        let image_size = (free + behind).max(1) * block_size - cut % block_size;
        Bmap::new(BmapVersion::V2_0, image_size, block_size, ranges).unwrap()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(map in any_map()) {
        prop_assert_eq!(&Bmap::parse(map.to_string().as_bytes()).unwrap(), &map);
        let holes: u64 = map.holes().map(|hole| hole.end - hole.start).sum();
        prop_assert_eq!(holes + map.mapped_bytes(), map.image_size());
        let mut pieces: Vec<_> = map.holes().chain(map.ranges().map(|range| range.bytes)).collect();
        pieces.sort_by_key(|piece| piece.start);
        prop_assert!(pieces.first().unwrap().start == 0 && pieces.last().unwrap().end == map.image_size());
        prop_assert!(pieces.windows(2).all(|two| two[0].end == two[1].start));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, at in 0..REAL.len(), len in 0..40usize) {
        drop(Bmap::parse(&bytes));
        let end = (at + len).min(REAL.len());
        let patched = [&REAL.as_bytes()[..at], &bytes, &REAL.as_bytes()[end..]].concat();
        drop(Bmap::parse(&patched));
        // With a checksum that is right for it.
        if let Ok(text) = std::str::from_utf8(&patched)
            && text.rfind("<BmapFileChecksum> ").is_some_and(|at| text.is_char_boundary((at + 83).min(text.len())) && at + 83 < text.len())
        {
            drop(Bmap::parse(&sealed(text)));
        }
    }
}
