//! Speeds of ethtool's link modes (`enum ethtool_link_mode_bit_indices` of `linux/ethtool.h`).

use std::ops::RangeInclusive;

/// First and last bit of neighbours of one speed, in Mbit/s. Bits that are no speed (media, pause, FEC) are left out.
const SPEEDS: &[(RangeInclusive<usize>, u64)] = &[
    (0..=1, 10),
    (2..=3, 100),
    (4..=5, 1_000),
    (12..=12, 10_000),
    (15..=15, 2_500),
    (17..=17, 1_000),
    (18..=20, 10_000),
    (21..=22, 20_000),
    (23..=26, 40_000),
    (27..=30, 56_000),
    (31..=33, 25_000),
    (34..=35, 50_000),
    (36..=39, 100_000),
    (40..=40, 50_000),
    (41..=41, 1_000),
    (42..=46, 10_000),
    (47..=47, 2_500),
    (48..=48, 5_000),
    (52..=56, 50_000),
    (57..=61, 100_000),
    (62..=66, 200_000),
    (67..=67, 100),
    (68..=68, 1_000),
    (69..=73, 400_000),
    (75..=79, 100_000),
    (80..=84, 200_000),
    (85..=89, 400_000),
    (90..=91, 100),
    (92..=92, 10),
    (93..=98, 800_000),
    (99..=102, 10),
    (103..=108, 200_000),
    (109..=114, 400_000),
    (115..=120, 800_000),
];

/// The highest speed in a mask of modes; `None` when it has none that is known.
pub(crate) fn fastest_mbps(mask: &[u32]) -> Option<u64> {
    let has = |bit: usize| mask.get(bit / 32).is_some_and(|word| word >> (bit % 32) & 1 == 1);
    SPEEDS.iter().filter(|(bits, _)| bits.clone().any(has)).map(|(_, speed)| *speed).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(bits: &[usize]) -> Vec<u32> {
        let mut words = vec![0; 4];
        for bit in bits {
            words[bit / 32] |= 1 << (bit % 32);
        }
        words
    }

    #[test]
    fn the_fastest_mode_counts() {
        // A gigabit copper port: 10 to 1000, autonegotiation, twisted pair, pause.
        assert_eq!(fastest_mbps(&mask(&[0, 1, 2, 3, 5, 6, 7, 13])), Some(1_000));
        // 25G SFP28 with FEC bits, which are no speed.
        assert_eq!(fastest_mbps(&mask(&[10, 31, 33, 41, 43, 49, 50, 51])), Some(25_000));
        assert_eq!(fastest_mbps(&mask(&[47, 48, 12])), Some(10_000));
        assert_eq!(fastest_mbps(&mask(&[69, 120])), Some(800_000));
        assert_eq!(fastest_mbps(&mask(&[6, 7, 13, 14, 16, 74])), None);
        assert_eq!(fastest_mbps(&[]), None);
    }

    #[test]
    fn no_bit_has_two_speeds() {
        let mut last = None;
        for (bits, _) in SPEEDS {
            assert!(last.is_none_or(|last| *bits.start() > last), "{bits:?}");
            last = Some(*bits.end());
        }
    }
}
