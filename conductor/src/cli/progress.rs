//! What happens to a node, shown as it happens: a live bar on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tacit_protocol::v2::{Progress, ProgressUnit};

use super::output::{duration, note, size};
use crate::flows::NodeEvent;

/// How often plain output repeats progress.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);
const BAR_REFRESH: Duration = Duration::from_millis(120);

/// Shows events. Everything goes to standard error: standard output is for results.
pub(super) struct Display {
    bar: Option<ProgressBar>,
    /// When each step that runs began, Unix time.
    started: HashMap<String, f64>,
    state: Option<(String, Option<String>)>,
    last_plain: Option<Instant>,
}

impl Display {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.enable_steady_tick(BAR_REFRESH);
            bar
        });
        Self { bar, started: HashMap::new(), state: None, last_plain: None }
    }

    pub(super) fn show(&mut self, event: &NodeEvent) {
        let now = (event.provision_state.clone(), event.target_provision_state.clone());
        if self.state.as_ref() != Some(&now) {
            let target = now.1.as_ref().map(|target| format!(" (to {target})")).unwrap_or_default();
            self.line(&format!("{}{target}", now.0));
            self.state = Some(now);
        }
        let step = event.step.as_deref().unwrap_or("step");
        match event.kind.as_str() {
            "step-started" => {
                self.started.insert(step.to_owned(), event.time);
                self.last_plain = None;
                match &self.bar {
                    Some(bar) => {
                        bar.set_style(spinner());
                        bar.set_message(step.to_owned());
                    }
                    None => self.line(&format!("  {step} …")),
                }
            }
            "step-finished" => {
                let took =
                    self.started.remove(step).map(|start| format!("  {}", duration(event.time - start)));
                let said = event.message.as_ref().map(|text| format!("  {text}")).unwrap_or_default();
                self.line(&format!("  {step}{}{said}", took.unwrap_or_default()));
                if let Some(bar) = &self.bar {
                    bar.set_message("");
                }
            }
            "progress" => {
                if let Some(progress) = &event.progress {
                    self.progress(progress);
                }
            }
            "error" => self.line(&format!("  error: {}", event.message.as_deref().unwrap_or("not said"))),
            _ => {
                if let Some(message) = &event.message {
                    self.line(&format!("  {message}"));
                }
            }
        }
    }

    /// A line that stays.
    pub(super) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => note(text),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn progress(&mut self, progress: &Progress) {
        let text = figures(progress);
        match &self.bar {
            Some(bar) => {
                if let Some(total) = progress.total.filter(|total| *total > 0) {
                    bar.set_style(style("  {msg}\n  [{wide_bar:.cyan/blue}] {percent:>3} %"));
                    bar.set_length(total);
                    bar.set_position(progress.done);
                } else {
                    bar.set_style(spinner());
                }
                bar.set_message(text);
            }
            None if self.last_plain.is_none_or(|last| last.elapsed() >= PLAIN_INTERVAL) => {
                self.last_plain = Some(Instant::now());
                self.line(&format!("  {text}"));
            }
            None => {}
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn spinner() -> ProgressStyle {
    style("  {spinner} {msg}")
}

/// `write_image write /dev/sda  1.2 GiB of 2.0 GiB  60 %  95.3 MiB/s  ETA 8.0 s  1 retry`
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people; a rate is never negative"
)]
fn figures(progress: &Progress) -> String {
    let mut parts = vec![format!("{} {}", progress.step, progress.stage)];
    if let Some(device) = &progress.device {
        parts[0].push_str(&format!(" {device}"));
    }
    let counted = |figure: u64| match progress.unit {
        ProgressUnit::Bytes => size(figure),
        ProgressUnit::Regions | ProgressUnit::Share => figure.to_string(),
    };
    let unit = match progress.unit {
        ProgressUnit::Bytes | ProgressUnit::Share => "",
        ProgressUnit::Regions => " regions",
    };
    match progress.total.filter(|total| *total > 0) {
        Some(total) => {
            let percent = progress.done as f64 * 100.0 / total as f64;
            if progress.unit != ProgressUnit::Share {
                parts.push(format!("{} of {}{unit}", counted(progress.done), counted(total)));
            }
            parts.push(format!("{percent:.0} %"));
        }
        None if progress.done > 0 => parts.push(format!("{}{unit}", counted(progress.done))),
        None if progress.target_bytes > 0 => parts.push(size(progress.target_bytes)),
        None => {}
    }
    if let Some(rate) = progress.rate_bytes_per_s.filter(|rate| *rate > 0.0) {
        parts.push(format!("{}/s", size(rate as u64)));
    }
    if let Some(eta) = progress.eta_seconds.filter(|eta| *eta > 0.0) {
        parts.push(format!("ETA {}", duration(eta)));
    }
    match progress.retries {
        0 => {}
        1 => parts.push("1 retry".into()),
        retries => parts.push(format!("{retries} retries")),
    }
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write() -> Progress {
        Progress {
            step: "write_image".into(),
            stage: "write".into(),
            device: Some("/dev/vda".into()),
            done: 512 * 1024 * 1024,
            total: Some(1024 * 1024 * 1024),
            rate_bytes_per_s: Some(104_857_600.0),
            eta_seconds: Some(5.12),
            ..Progress::default()
        }
    }

    #[test]
    fn figures_say_what_is_known() {
        let wanted = "write_image write /dev/vda  512.0 MiB of 1.0 GiB  50 %  100.0 MiB/s  ETA 5.1 s";
        assert_eq!(figures(&write()), wanted);
        let resumed = Progress { retries: 2, rate_bytes_per_s: Some(0.0), eta_seconds: None, ..write() };
        assert_eq!(figures(&resumed), "write_image write /dev/vda  512.0 MiB of 1.0 GiB  50 %  2 retries");
        let unknown =
            Progress { total: None, retries: 1, rate_bytes_per_s: None, eta_seconds: None, ..write() };
        assert_eq!(figures(&unknown), "write_image write /dev/vda  512.0 MiB  1 retry");
        let little = Progress { step: "erase".into(), stage: "wipe".into(), ..Progress::default() };
        assert_eq!(figures(&little), "erase wipe");
    }

    #[test]
    fn regions_are_not_shown_as_bytes() {
        let wipe = Progress {
            step: "erase_devices_metadata".into(),
            stage: "wipe".into(),
            device: Some("/dev/vda".into()),
            done: 0,
            total: Some(3),
            unit: ProgressUnit::Regions,
            ..Progress::default()
        };
        assert_eq!(figures(&wipe), "erase_devices_metadata wipe /dev/vda  0 of 3 regions  0 %");
    }
}
