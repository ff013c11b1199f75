//! The bridge between a played Ironic and the real agent, on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agent;
mod agents_that_lie;
mod check;
mod identity;
mod images;
mod ironic;
mod keystone;
mod leases;
mod machine;
mod process;
mod proxy;
mod readiness;
mod relay;
mod restarts;
mod site;
mod stranger;
mod tokens;
mod unruly_ironic;
