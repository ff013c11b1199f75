//! What the fuzz targets call: each function takes any bytes, and panics where a promise of this crate does not hold.

mod bmap;
mod config_drive;
mod frames;
#[cfg(test)]
mod replay;
mod signature;
mod tables;
mod write;

pub use bmap::bmap;
pub use config_drive::{config_drive, iso};
pub use frames::frames;
pub use signature::signature;
pub use tables::{gpt, mbr};
pub use write::write;

/// Longest image that comes out of squeezed input, in bytes.
const EXPANDED: usize = 256 << 10;

/// Images are mostly zeros: a zero stands for as many of them as the byte behind it says.
fn expand(squeezed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = squeezed.iter();
    while let Some(&byte) = rest.next().filter(|_| bytes.len() < EXPANDED) {
        match byte {
            0 => bytes.resize(bytes.len() + rest.next().map_or(1, |&count| count.into()), 0),
            byte => bytes.push(byte),
        }
    }
    bytes
}

/// A qcow2 file, squeezed.
///
/// # Panics
///
/// When an image is accepted that does not say of every byte of its disk, once, what it is.
pub fn qcow2(data: &[u8]) {
    crate::qcow2::fuzz(&expand(data));
}

/// Name of the corpus, and what is fed from it.
pub type Entry = (&'static str, fn(&[u8]));

/// Everything above.
pub const ENTRIES: &[Entry] = &[
    ("bmap", bmap),
    ("config_drive", config_drive),
    ("frames", frames),
    ("gpt", gpt),
    ("iso", iso),
    ("mbr", mbr),
    ("qcow2", qcow2),
    ("signature", signature),
    ("write", write),
];
