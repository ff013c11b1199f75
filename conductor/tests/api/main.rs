//! The API as its clients see it: through the router, on a store in memory, with an engine that does no work.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and says where")]

mod engine;
mod lists;
mod nodes;
mod patches;
mod pipe;
mod recorded;
mod site;
mod verbs;
mod versions;
