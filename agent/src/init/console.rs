//! Short lines for who watches the console.

use std::fs::OpenOptions;
use std::io::{self, Write};

use crate::clock::uptime;

/// Writes `tacit: <seconds> <message>`. A console that cannot be written to is nobody's loss.
pub(super) fn say(message: impl AsRef<str>) {
    let line = format!("tacit: {:8.2} {}\n", uptime(), message.as_ref());
    let written = OpenOptions::new()
        .write(true)
        .open("/dev/console")
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if written.is_err() {
        // The first process must not panic.
        io::stderr().write_all(line.as_bytes()).unwrap_or_default();
    }
}
