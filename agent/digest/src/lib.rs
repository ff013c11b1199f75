//! SHA-512 and SHA-384 (FIPS 180-4) as fast as the processor allows, and `ring` elsewhere.
//!
//! A digest over a whole image is one chain on one core, so its rate is the limit for a raw image (docs/adr/0012). This
//! crate owns the compression function for x86-64 processors with AVX2 and BMI2 or with AVX-512, and the choice of one
//! at run time: each must first give the right digest of a known message, and the fastest is taken. It has no other
//! digest, no MAC and nothing that must not leak through timing: what is hashed here is a public image.

mod choice;
mod constants;
mod context;
#[cfg(not(target_arch = "x86_64"))]
mod elsewhere;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(test)]
mod tests;

pub use choice::implementation;
pub use context::{Sha384, Sha512};
