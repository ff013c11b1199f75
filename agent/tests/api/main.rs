//! The agent's program as its callers meet it: started for real, called over TLS.

mod support;

mod bad_input;
mod imaging;
mod operations;
mod recorded;
mod restart;
mod trust;
