//! Counters, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// One counter and what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counter {
    Lookups,
    Heartbeats,
    Inspections,
    CertificatesRefused,
    WrongMachines,
    OperationsLost,
    TokensMissing,
    ProxyRequests,
    ImagesLent,
}

impl Counter {
    /// Name, label and meaning.
    fn describe(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Lookups => ("lookups_total", "result", "Lookups at Ironic"),
            Self::Heartbeats => ("heartbeats_total", "result", "Heartbeats to Ironic"),
            Self::Inspections => ("inspections_total", "result", "Inspection data handed to Ironic"),
            Self::CertificatesRefused => (
                "certificates_refused_total",
                "reason",
                "Agents that showed another certificate than the pinned one",
            ),
            Self::WrongMachines => {
                ("wrong_machines_total", "reason", "Machines that are not the expected ones")
            }
            Self::OperationsLost => (
                "operations_lost_total",
                "reported",
                "Operations that were lost with a restart of their agent",
            ),
            Self::TokensMissing => {
                ("tokens_missing_total", "reason", "Nodes whose token somebody else was told")
            }
            Self::ProxyRequests => {
                ("proxy_requests_total", "status", "Requests of Ironic to the reverse proxy")
            }
            Self::ImagesLent => {
                ("image_commands_total", "transport", "Commands whose images the bridge served")
            }
        }
    }
}

/// All counters of the process.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    counts: Mutex<BTreeMap<(Counter, String), u64>>,
}

impl Metrics {
    pub(super) fn count(&self, counter: Counter, label: impl Into<String>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((counter, label.into())).or_default() += 1;
    }

    /// The page; `gauges` are name, label pair, meaning and value.
    pub(super) fn render(&self, gauges: &[(&str, &str, &str, u64)]) -> String {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let mut last = None;
        let line = |text: &mut String, line: std::fmt::Arguments<'_>| {
            text.write_fmt(line).expect("a String takes every write");
        };
        for ((counter, label), value) in counts.iter() {
            let (name, key, meaning) = counter.describe();
            if last != Some(*counter) {
                line(
                    &mut text,
                    format_args!(
                        "# HELP tacit_bridge_{name} {meaning}\n# TYPE tacit_bridge_{name} counter\n"
                    ),
                );
                last = Some(*counter);
            }
            line(&mut text, format_args!("tacit_bridge_{name}{{{key}=\"{label}\"}} {value}\n"));
        }
        let mut last = "";
        for (name, labels, meaning, value) in gauges {
            if last != *name {
                line(
                    &mut text,
                    format_args!("# HELP tacit_bridge_{name} {meaning}\n# TYPE tacit_bridge_{name} gauge\n"),
                );
                last = name;
            }
            line(&mut text, format_args!("tacit_bridge_{name}{labels} {value}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.count(Counter::Heartbeats, "ok");
        metrics.count(Counter::Heartbeats, "ok");
        metrics.count(Counter::Heartbeats, "locked");
        let page = metrics.render(&[("nodes", "{phase=\"driving\"}", "Nodes", 3)]);
        let expected = "# HELP tacit_bridge_heartbeats_total Heartbeats to Ironic\n\
                        # TYPE tacit_bridge_heartbeats_total counter\n\
                        tacit_bridge_heartbeats_total{result=\"locked\"} 1\n\
                        tacit_bridge_heartbeats_total{result=\"ok\"} 2\n\
                        # HELP tacit_bridge_nodes Nodes\n\
                        # TYPE tacit_bridge_nodes gauge\n\
                        tacit_bridge_nodes{phase=\"driving\"} 3\n";
        assert_eq!(page, expected);
    }
}
