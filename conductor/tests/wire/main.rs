//! What goes over the wire between conductor, agents, image servers and BMCs, with the other ends played here.

mod fake_agent;
mod image_server;
mod images;
mod media;
mod runs;
mod trust;
