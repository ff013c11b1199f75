//! The command line as people meet it: the program started for real, on files and loop devices of its own.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod disk;
mod erase;
mod look;
mod managers;
