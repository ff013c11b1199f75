//! The bridge between a played Ironic and the real agent, on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agent;
mod agents_that_lie;
mod images;
mod ironic;
mod leases;
mod process;
mod proxy;
mod relay;
mod restarts;
mod site;
mod unruly_ironic;
