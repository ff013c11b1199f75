//! The HTTP API: `/v1` as IPA's to the letter, `/v2` beside it. Handlers only.

mod body;
mod fault;
mod gate;
mod json;
mod observe;
mod query;
mod router;
mod v1;
mod v2;

pub use router::router;
