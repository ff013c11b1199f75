//! What agents report, in a line for history and watchers.

use serde_json::Value;
use tacit_protocol::v2::Progress;

/// What the events of a write say, from the first to the last.
#[derive(Debug, Default)]
pub(super) struct WriteSeen {
    first: Option<f64>,
    last: Option<(f64, Progress)>,
}

impl WriteSeen {
    /// Takes an event's time (Unix) and what it tells.
    pub(super) fn add(&mut self, time: f64, progress: &Progress) {
        self.first.get_or_insert(time);
        self.last = Some((time, progress.clone()));
    }

    /// `image (…) written to device …; 1.0 GiB read, 4.0 GiB on the disk, 512.0 MiB/s, 1 retry`
    pub(super) fn line(&self, said: &str) -> String {
        // IPA's command within the step; the step's own name stands beside this already.
        let said = said.strip_prefix("prepare_image: ").unwrap_or(said);
        let Some((time, progress)) = &self.last else { return said.to_owned() };
        let mut parts = Vec::new();
        if progress.source_bytes > 0 {
            parts.push(format!("{} read", size(progress.source_bytes)));
        }
        if progress.target_bytes > 0 {
            parts.push(format!("{} on the disk", size(progress.target_bytes)));
            let seconds = time - self.first.unwrap_or(*time);
            if seconds >= 1.0 {
                parts.push(format!("{}/s", size((progress.target_bytes as f64 / seconds) as u64)));
            }
        }
        match progress.retries {
            0 => {}
            1 => parts.push("1 retry".into()),
            retries => parts.push(format!("{retries} retries")),
        }
        if parts.is_empty() { said.to_owned() } else { format!("{said}; {}", parts.join(", ")) }
    }
}

/// The report of `install_bootloader` (`BootEntryReport`).
pub(super) fn boot_entry(report: &Value) -> String {
    let text = |key: &str| report[key].as_str().filter(|text| !text.is_empty());
    let list = |key: &str| -> Vec<&str> {
        report[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let mut line = match text("outcome") {
        Some("skipped") => format!("no boot entry: {}", text("reason").unwrap_or("nothing to do")),
        outcome => {
            let verb = if outcome == Some("reused") { "was there already" } else { "written" };
            let mut line = match text("entry") {
                Some(entry) => format!("boot entry {entry} {verb}"),
                None => format!("boot entry {verb}"),
            };
            if let Some(label) = text("label") {
                line.push_str(&format!(": {label}"));
            }
            if let Some(loader) = text("loader") {
                line.push_str(&format!(", {loader}"));
            }
            if let Some(number) = report["partition"].as_u64() {
                line.push_str(&format!(" on partition {number}"));
            }
            line
        }
    };
    let order = list("order_after");
    if !order.is_empty() {
        line.push_str(&format!("; boot order {}", order.join(",")));
    }
    let removed = list("removed");
    if !removed.is_empty() {
        line.push_str(&format!("; removed {}", removed.join(", ")));
    }
    for warning in list("warnings") {
        line.push_str(&format!("; warning: {warning}"));
    }
    line
}

/// Bytes in the binary unit that fits.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match UNITS.into_iter().find(|(_, shift)| bytes >> shift > 0) {
        Some((unit, shift)) => format!("{:.1} {unit}", bytes as f64 / (1_u64 << shift) as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_write_in_figures() {
        let mut seen = WriteSeen::default();
        let said = "prepare_image: image (d) written to device /dev/sda root_uuid=0x00000000";
        assert_eq!(seen.line(said), "image (d) written to device /dev/sda root_uuid=0x00000000");
        seen.add(100.0, &Progress::default());
        let last =
            Progress { source_bytes: 1 << 29, target_bytes: 4 << 30, retries: 1, ..Progress::default() };
        seen.add(108.0, &last);
        let line = seen.line("written");
        assert_eq!(line, "written; 512.0 MiB read, 4.0 GiB on the disk, 512.0 MiB/s, 1 retry");
        let mut at_once = WriteSeen::default();
        at_once.add(1.0, &last);
        assert!(!at_once.line("written").contains("/s"));
    }

    #[test]
    fn boot_entries_in_words() {
        let report = json!({
            "outcome": "created", "reason": null, "entry": "Boot0003", "label": "debian",
            "loader": "\\EFI\\debian\\shimx64.efi", "partition": 15, "removed": ["Boot0001 old"],
            "order_before": ["0001"], "order_after": ["0003", "0000"], "warnings": ["the firmware cut the label"],
        });
        let wanted = "boot entry Boot0003 written: debian, \\EFI\\debian\\shimx64.efi on partition 15; \
                      boot order 0003,0000; removed Boot0001 old; warning: the firmware cut the label";
        assert_eq!(boot_entry(&report), wanted);
        let skipped =
            json!({"outcome": "skipped", "reason": "firmware variables are out of reach", "removed": []});
        assert_eq!(boot_entry(&skipped), "no boot entry: firmware variables are out of reach");
        let reused = json!({"outcome": "reused", "entry": "Boot0003"});
        assert_eq!(boot_entry(&reused), "boot entry Boot0003 was there already");
    }
}
