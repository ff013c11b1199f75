//! `/v1`: IPA's API to the letter (IPA contract §1), with its version-less aliases.

mod commands;
mod documents;
mod redirect;
mod routes;

pub(super) use routes::routes;
