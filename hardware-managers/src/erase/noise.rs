//! Bytes that look like nothing and can be made again for any place, so that they can be compared later.

use std::fs::File;
use std::io::Read;

use super::error::EraseError;

/// What one seed makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Noise(pub(crate) u64);

/// The increment of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Noise {
    /// With a seed from the kernel.
    ///
    /// # Errors
    ///
    /// [`EraseError::Random`].
    pub(crate) fn new() -> Result<Self, EraseError> {
        let mut seed = [0; 8];
        File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut seed))
            .map_err(|source| EraseError::Random { source })?;
        Ok(Self(u64::from_le_bytes(seed)))
    }

    /// The bytes that belong at `offset`, a multiple of eight. Every word is made from its place alone, so that
    /// several can be under way in the processor at once.
    pub(crate) fn fill(self, offset: u64, buffer: &mut [u8]) {
        let first = offset / 8;
        let (words, rest) = buffer.as_chunks_mut::<8>();
        let mut at = first;
        for word in words {
            *word = self.word(at).to_le_bytes();
            at = at.wrapping_add(1);
        }
        let last = self.word(at).to_le_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
    }

    fn word(self, at: u64) -> u64 {
        let mut word = self.0.wrapping_add(at.wrapping_add(1).wrapping_mul(GAMMA));
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_has_the_same_bytes_however_it_is_asked_for() {
        let noise = Noise(7);
        let mut whole = [0; 4096];
        noise.fill(1 << 40, &mut whole);
        let mut part = [0; 515];
        noise.fill((1 << 40) + 512, &mut part);
        assert_eq!(part, whole[512..1027]);
        let mut other = [0; 4096];
        Noise(8).fill(1 << 40, &mut other);
        assert!(whole.chunks(8).zip(other.chunks(8)).all(|(a, b)| a != b));
        // SplitMix64 of seed 0, as its reference code gives it.
        assert_eq!(Noise(0).word(0), 0xe220_a839_7b1d_cdaf);
    }
}
