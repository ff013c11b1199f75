//! Tables, sizes and durations for people.

use std::io::{self, ErrorKind, Write};

use serde_json::Value;

use super::error::CliError;

/// The result, on standard output.
///
/// # Errors
///
/// When it cannot be written. A reader who had enough (`| head -1`) has what they wanted.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut screen = io::stdout().lock();
    match screen.write_all(text.as_bytes()).and_then(|()| screen.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|source| CliError::Local {
            what: "cannot write to standard output".to_owned(),
            source: source.into(),
        }),
    }
}

/// A JSON value for programs.
///
/// # Errors
///
/// As of [`print`].
pub(super) fn print_json(value: &Value) -> Result<(), CliError> {
    print(&format!("{value:#}\n"))
}

/// A line on standard error. That nobody reads it ends nothing.
pub(super) fn note(text: &str) {
    writeln!(io::stderr(), "{text}").unwrap_or_default();
}

/// Rows under headings, columns aligned, two blanks between them.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut out = line(headings.to_vec());
    for row in rows {
        out.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    out
}

/// Names and values, one a line, values aligned.
pub(super) fn pairs(pairs: &[(String, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
}

/// A JSON value on one line; nothing for null.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A text field of an object, `-` when it has none.
pub(super) fn field(object: &Value, name: &str) -> String {
    let text = object.get(name).map(plain).unwrap_or_default();
    if text.is_empty() { "-".to_owned() } else { text }
}

/// Bytes in the binary unit that fits.
#[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Seconds as a person says them.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "negative is cut to 0, and nobody waits 2^64 seconds"
)]
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours} h {minutes:02} min") } else { format!("{minutes} min {seconds:02} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["n1".into(), "power on".into()], vec!["longer".into(), "-".into()]];
        assert_eq!(table(&["NAME", "POWER"], &rows), "NAME    POWER\nn1      power on\nlonger  -\n");
        assert_eq!(pairs(&[("a".into(), "1".into()), ("bcd".into(), "2".into())]), "a    1\nbcd  2\n");
    }

    #[test]
    fn sizes_and_durations() {
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1024 * 1024), "1.0 MiB");
        assert_eq!(size(3_435_973_837), "3.2 GiB");
        assert_eq!(size(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(duration(3.12), "3.1 s");
        assert_eq!(duration(75.0), "1 min 15 s");
        assert_eq!(duration(3725.0), "1 h 02 min");
    }
}
