//! The lab: virtual servers with real Redfish BMCs in a network of their own, and what the end-to-end tests say with them.
//!
//! Owns everything outside of Tacit that a deployment needs: network namespace, libvirt, BMC emulator, image server,
//! packet capture. It starts these by hand, as root, with all their files in throw-away directories, and takes them down
//! again whatever happens. It refuses to use, start or touch a service of the machine it runs on, and nothing in it
//! listens outside the namespace it made.

pub mod capture;
pub mod desk;
pub mod guest;
pub mod lab;
pub mod stages;
pub mod workspace;
