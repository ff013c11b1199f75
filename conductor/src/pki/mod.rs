//! The conductor's certificate authority and what it lets the conductor believe.
//!
//! Owns the CA's key, the conductor's own client certificate and the certificates made for one node and one boot. A
//! node's certificate can only serve, the conductor's can only call: neither is of use in the other's place. Refuses
//! to work with keys that others than its user can read.

mod authority;
mod files;
mod pinned;
mod signature;

pub use authority::{NodeIdentity, Pki, PkiError};
pub use pinned::{NotPinned, fingerprint};
pub use signature::{SignatureError, Signed, Verified};

pub(crate) use authority::anonymous_client_config;
pub(crate) use pinned::provider;
