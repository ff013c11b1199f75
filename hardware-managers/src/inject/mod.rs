//! The step `inject_files` (IPA contract §5.2): files into a file system of the deployed disk.
//!
//! The file system is tenant content. It is mounted without devices, set-uid programs or execution, and for as long as
//! the step runs; every path is resolved by the kernel within it (openat2(2)), so that no link and no `..` of the
//! tenant's leads elsewhere. What was written is proven by a second, read-only mount.

mod mount;
mod place;
mod request;
mod step;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use step::{INJECT_FILES, STEPS, priority};
