//! How much is kept of an image, and how it is read.

use std::ops::Range;

use super::super::header::Geometry;
use super::super::map::{Collector, LIMIT};
use super::super::refusal::{Refusal, SurveyError};
use super::super::segment::Builder;
use super::super::survey::Image;
use super::support::noise;
use super::writer::{header, put64};

#[test]
fn compressed_clusters_take_four_bytes_each() {
    let geometry = Geometry { cluster_bits: 16, size: 4 << 30 };
    let mut builder = Builder::new(geometry);
    let dice = noise(8192, 5);
    let mut memory = 0;
    for table in 0..8 {
        builder.begin(table);
        let mut host = (u64::from(table) + 1) << 40;
        for (guest, dice) in dice.iter().enumerate() {
            // As an image is written: one behind the other, 8 to 16 KiB, with a hole now and then.
            let len = 8192 + u64::from(*dice) * 37;
            let sectors = ((host + len - 1) / 512 - host / 512 + 1) as u32;
            if dice % 16 != 0 {
                builder.packed(guest as u32, host, sectors);
                host += len;
            }
        }
        memory += builder.finish().unwrap().unwrap().memory();
    }
    let each = memory as f64 / f64::from(8 * 8192);
    assert!(each < 4.5, "{each} bytes a cluster");
}

#[test]
fn runs_take_next_to_nothing() {
    let geometry = Geometry { cluster_bits: 16, size: 1 << 40 };
    let mut builder = Builder::new(geometry);
    builder.begin(3);
    (0..8192).for_each(|guest| builder.plain(guest, (1 << 50) + (u64::from(guest) << 16)));
    let segment = builder.finish().unwrap().unwrap();
    assert!(segment.memory() < 100, "{} bytes", segment.memory());
    assert_eq!(segment.pieces(geometry).count(), 1);
}

/// A file that is longer than any memory: header, L1 table, and L2 tables at all multiples of `every`.
fn survey_long(header: &[u8], l1: Range<u64>, every: u64) -> (Option<Refusal>, Vec<Range<u64>>) {
    let mut reads = Vec::new();
    let result = Image::survey::<()>(None, 1 << 60, &mut |offset, buf| {
        reads.push(offset..offset + buf.len() as u64);
        assert!(buf.len() <= 1 << 20, "{} bytes at once", buf.len());
        buf.fill(0);
        if offset < header.len() as u64 {
            let here = buf.len().min(header.len() - offset as usize);
            buf[..here].copy_from_slice(&header[offset as usize..offset as usize + here]);
        } else if l1.contains(&offset) {
            for at in (0..buf.len()).step_by(8) {
                put64(buf, at, l1.end + ((offset + at as u64 - l1.start) / 8) * every);
            }
        }
        Ok(())
    });
    let refusal = match result {
        Ok(_) => None,
        Err(SurveyError::Refused(refusal)) => Some(refusal),
        Err(SurveyError::Read(())) => panic!("reading never fails"),
    };
    (refusal, reads)
}

#[test]
fn neighbouring_tables_are_read_together() {
    let file = header(3, 16, 64 << 29, (1 << 16, 64), false);
    let l1 = 1 << 16..2 << 16;
    let (refusal, reads) = survey_long(&file, l1.clone(), 1 << 16);
    assert_eq!(refusal, None);
    // Begin of the header, L1, and four times sixteen tables.
    assert_eq!(reads.len(), 2 + 4, "{reads:?}");
    assert!(reads.is_sorted_by_key(|read| read.start), "{reads:?}");
    // Those that lie far apart are read alone, and nothing else is.
    let (refusal, reads) = survey_long(&file, l1, 1 << 29);
    assert_eq!(refusal, None);
    assert_eq!(reads.len(), 2 + 64);
    assert!(reads[2..].iter().all(|read| read.end - read.start == 1 << 16), "{reads:?}");
}

#[test]
fn tables_without_end_are_refused_before_any_is_read() {
    // 4 Mi entries, each of them a table.
    let file = header(3, 9, 128 << 30, (512, 4 << 20), false);
    let l1 = 512..512 + (32 << 20);
    let (refusal, reads) = survey_long(&file, l1.clone(), 512);
    assert_eq!(refusal, Some(Refusal::MapLarge { limit: LIMIT }));
    assert!(reads.iter().all(|read| read.end <= l1.end), "{reads:?}");
    let read: u64 = reads.iter().map(|read| read.end - read.start).sum();
    assert!(read < 4 << 20, "{read} bytes were read");
}

#[test]
fn more_than_the_limit_is_refused() {
    let geometry = Geometry { cluster_bits: 21, size: 1 << 60 };
    let mut map = Collector::new(1 << 10).unwrap();
    let mut builder = Builder::new(geometry);
    let fill = |builder: &mut Builder, table: u32| {
        builder.begin(table);
        let base = u64::from(table) << 40;
        // All clusters compressed, in the least favourable order.
        (0..1 << 18).for_each(|guest: u32| {
            let host = base + (u64::from(guest.reverse_bits() >> 14) << 21);
            builder.packed(guest, host, 1000);
        });
        builder.finish().unwrap().unwrap()
    };
    let refused = (0..1 << 10).find_map(|table| map.add(fill(&mut builder, table)).err());
    assert_eq!(refused, Some(Refusal::MapLarge { limit: LIMIT }));
}
