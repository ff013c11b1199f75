//! The HTTP API: `/v1` as IPA's to the letter, `/v2` beside it. Handlers only; whoever gets here has shown a
//! certificate.

mod body;
mod fault;
mod json;
mod observe;
mod router;
mod v1;
mod v2;

pub use router::router;
