//! What goes over the wire between conductor, agents, image servers and BMCs, with the other ends played here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fake_agent;
mod image_server;
mod images;
mod media;
mod runs;
mod trust;
