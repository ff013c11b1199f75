//! The two outputs. Who was to read them may be gone, be it the other end of a pipe or a terminal that hung up: that must
//! not end a command in the midst of a disk, as the panic of `println!` would.

use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};
use serde_json::Value;

/// A document on standard output, for people as well as for programs.
///
/// # Errors
///
/// Those of [`line`].
pub(super) fn document(document: &Value) -> Result<()> {
    line(&serde_json::to_string_pretty(document)?)
}

/// A line on standard output.
///
/// # Errors
///
/// When it cannot be written, but for a reader who had enough: that one has what they wanted.
pub(super) fn line(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// What is not the result, to people: a line on standard error.
pub(super) fn note(text: &str) {
    piece(&format!("tacit-agent: {text}\n"));
}

/// Anything on standard error.
pub(super) fn piece(text: &str) {
    let mut screen = io::stderr().lock();
    // There is nobody left to be told that nobody reads this.
    screen.write_all(text.as_bytes()).and_then(|()| screen.flush()).unwrap_or_default();
}
