//! Certificates of erasure: what an agent proved of one device, signed by the conductor (NIST SP 800-88r2, 4.8); and
//! beside them, what an erasure left as it was.
//!
//! Owns their shape and the page on which people read them. It adds nothing to what the agent proved, and knows no
//! drives.

mod certificate;
mod page;

pub use certificate::{CERTIFICATE, Erasures, Issued, Issuer, NOT_ERASED, NotErased, certified, statements};
pub use page::page;
