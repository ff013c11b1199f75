//! Progress for people (a bar) and for programs (JSON lines), both on standard error.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{BinaryBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tacit_imaging::{Observer, Progress};

/// Shows progress, and passes the wish to stop on.
#[derive(Debug)]
pub(super) struct Watcher {
    cancelled: Arc<AtomicBool>,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Json,
    Nothing,
}

impl Watcher {
    pub(super) fn new(cancelled: Arc<AtomicBool>, json: bool) -> Self {
        let shown = if json {
            Shown::Json
        } else if io::stderr().is_terminal() {
            Shown::Bar(bar())
        } else {
            Shown::Nothing
        };
        Self { cancelled, shown }
    }

    /// Takes the bar away, so that the outcome stands alone.
    pub(super) fn finish(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Watcher {
    fn progress(&self, progress: &Progress) {
        match &self.shown {
            Shown::Bar(bar) => show(bar, progress),
            Shown::Json => json_line(&describe(progress)),
            Shown::Nothing => {}
        }
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// Prints one line. A reader who went away misses it: the disk is what counts, and it says so by the exit code.
pub(super) fn json_line(value: &Value) {
    let mut stderr = io::stderr().lock();
    writeln!(stderr, "{value}").unwrap_or_default();
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>8} [{bar:30}] {percent:>3}%  {msg}")
        .expect("a template that indicatif knows")
        .progress_chars("=> ");
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8)).with_style(style)
}

fn show(bar: &ProgressBar, progress: &Progress) {
    let (done, total) = match progress.target_total {
        Some(total) => (progress.target_bytes, Some(total)),
        None => (progress.source_bytes, progress.source_total),
    };
    bar.set_prefix(progress.stage);
    if let Some(total) = total {
        bar.set_length(total);
    }
    bar.set_position(done);
    bar.set_message(sentence(progress));
}

fn sentence(progress: &Progress) -> String {
    let mut text = format!("{}", BinaryBytes(progress.target_bytes));
    if let Some(total) = progress.target_total {
        text += &format!(" of {}", BinaryBytes(total));
    }
    if let Some(rate) = progress.rate {
        text += &format!(", {}/s", BinaryBytes(rate));
    }
    if let Some(eta) = progress.eta {
        text += &format!(", {} left", HumanDuration(eta));
    }
    if progress.retries > 0 {
        text += &format!(", {} retries", progress.retries);
    }
    text
}

fn describe(progress: &Progress) -> Value {
    json!({
        "stage": progress.stage,
        "source_bytes": progress.source_bytes,
        "source_total": progress.source_total,
        "target_bytes": progress.target_bytes,
        "target_total": progress.target_total,
        "bytes_per_second": progress.rate,
        "eta_seconds": progress.eta.map(|eta| eta.as_secs_f64()),
        "retries": progress.retries,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn progress_in_words() {
        let mut progress = Progress { stage: "write", target_bytes: 1 << 20, ..Progress::default() };
        assert_eq!(sentence(&progress), "1.00 MiB");
        progress.target_total = Some(1 << 30);
        progress.rate = Some(3 << 20);
        progress.eta = Some(Duration::from_secs(341));
        progress.retries = 2;
        assert_eq!(sentence(&progress), "1.00 MiB of 1.00 GiB, 3.00 MiB/s, 6 minutes left, 2 retries");
    }
}
