//! Hardware managers from outside: executables that speak one JSON object a line on their standard input and output.
//!
//! Each request is a process of its own, so that one that crashes, hangs or floods takes nothing with it. What the
//! programs say is checked as anything else that comes from outside.

mod answers;
mod exchange;
mod fault;
mod lines;
mod load;
mod manager;
mod process;
mod protocol;
mod session;
mod trust;

#[cfg(test)]
mod tests;

pub(super) use load::load;
