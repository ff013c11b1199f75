use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ring::digest::{Context, SHA512};

use crate::constants::SHA512_INITIAL;
use crate::context::Message;
#[cfg(not(target_arch = "x86_64"))]
pub(crate) use crate::elsewhere::Compress;
#[cfg(target_arch = "x86_64")]
pub(crate) use crate::x86_64::Compress;

/// What the digests of this process are made with: `ring`, or the instruction sets that this crate's own code uses.
pub fn implementation() -> &'static str {
    chosen().map_or("ring", Compress::name)
}

/// The code for this processor, chosen once; `None` is `ring`.
pub(crate) fn chosen() -> Option<Compress> {
    static CHOSEN: OnceLock<Option<Compress>> = OnceLock::new();
    *CHOSEN.get_or_init(|| choose(Compress::all()))
}

/// The fastest of those that digest a known message rightly. Which that is differs between makers and generations of
/// processors in ways that no feature bit tells, so it is measured: a fraction of a millisecond, once.
fn choose(candidates: impl Iterator<Item = Compress>) -> Option<Compress> {
    let trusted = candidates.filter(|&candidate| {
        let right = is_right(|parts| {
            let mut message = Message::new(candidate, SHA512_INITIAL);
            parts.for_each(|part| message.update(part));
            message.finish()
        });
        if !right {
            tracing::warn!(implementation = candidate.name(), "SHA-512 self-test failed: not used");
        }
        right
    });
    let measured = trusted.map(|candidate| {
        let taken = shortest(|block| {
            let mut message = Message::new(candidate, SHA512_INITIAL);
            message.update(block);
            std::hint::black_box(message.finish());
        });
        (taken, Some(candidate))
    });
    let rings = shortest(|block| {
        let mut context = Context::new(&SHA512);
        context.update(block);
        std::hint::black_box(context.finish());
    });
    let (_, fastest) = measured.chain([(rings, None)]).min_by_key(|(taken, _)| *taken)?;
    tracing::debug!(implementation = fastest.map_or("ring", Compress::name), "SHA-512");
    fastest
}

/// Bytes 0, 1, … 255, 0, 1 …
const KNOWN_MESSAGE: [u8; 1000] = {
    let mut message = [0; 1000];
    let mut at = 0;
    while at < message.len() {
        message[at] = at as u8;
        at += 1;
    }
    message
};

/// Of [`KNOWN_MESSAGE`], as coreutils' sha512sum has it.
const KNOWN_DIGEST: [u8; 64] = [
    0x6c, 0xd2, 0xed, 0xa9, 0xbf, 0x9c, 0x05, 0x97, 0x12, 0x90, 0x29, 0xb0, 0x05, 0x4b, 0x81, 0xe4, 0x33,
    0xf6, 0xb8, 0xb7, 0xb4, 0x99, 0xa7, 0x5e, 0xb7, 0x05, 0xef, 0xd7, 0x4b, 0xac, 0x19, 0x41, 0x49, 0x83,
    0x5b, 0x1d, 0x1a, 0x14, 0xc4, 0x8b, 0xe6, 0x96, 0xe4, 0xd5, 0x88, 0x45, 0x6d, 0x51, 0x2a, 0x22, 0xea,
    0xe7, 0xaa, 0x1b, 0x57, 0xbe, 0x2b, 0x56, 0xea, 0xe7, 0xd3, 0x5e, 0x08, 0xcb,
];

/// Whether `digest` gives the right result for a message that comes in parts: passes over one, two and several blocks,
/// an odd number of them, and a block that is put together from two parts.
fn is_right(digest: impl FnOnce(&mut dyn Iterator<Item = &'static [u8]>) -> [u8; 64]) -> bool {
    let (first, rest) = KNOWN_MESSAGE.split_at(300);
    let (second, third) = rest.split_at(84 + 3 * 128);
    digest(&mut [first, second, third].into_iter()) == KNOWN_DIGEST
}

/// Of several runs, since any one may have been interrupted.
fn shortest(run: impl Fn(&[u8])) -> Duration {
    const RUNS: usize = 5;
    let block = [0x5a; 16 << 10];
    (0..RUNS)
        .map(|_| {
            let started = Instant::now();
            run(&block);
            started.elapsed()
        })
        .min()
        .unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha512(message: &[u8]) -> [u8; 64] {
        ring::digest::digest(&SHA512, message).as_ref().try_into().unwrap()
    }

    #[test]
    fn the_self_test_takes_the_right_digest_and_no_other() {
        let whole = |parts: &mut dyn Iterator<Item = &'static [u8]>| parts.collect::<Vec<_>>().concat();
        assert!(is_right(|parts| sha512(&whole(parts))));
        assert!(!is_right(|parts| sha512(&whole(parts)[1..])));
        assert!(!is_right(|_| [0; 64]));
    }

    #[test]
    fn ring_is_used_where_nothing_else_can_be() {
        assert!(choose(std::iter::empty()).is_none());
    }

    /// It would be by far the fastest.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn code_that_fails_the_self_test_is_never_used() {
        assert!(choose([Compress::faulty()].into_iter()).is_none());
        let with_right_ones = choose(Compress::all().chain([Compress::faulty()]));
        assert_ne!(with_right_ones.map(Compress::name), Some("faulty"));
    }
}
