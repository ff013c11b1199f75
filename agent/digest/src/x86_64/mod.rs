//! The compression function of FIPS 180-4, section 6.2.2 with the words of section 6.4, for x86-64: written for what
//! only newer processors have, which is detected at run time.
//!
//! Each variant takes two blocks in a pass. The message schedule is vector code with one block in each 128-bit half of
//! the registers. It runs ahead of the first block's rounds and leaves the second block's words on the stack, so that
//! the second block's rounds are rounds alone.

mod code;

pub(crate) use code::Compress;
