//! Stages of a long test and their times, printed as they end.

use std::time::{Duration, Instant};

/// Prints each stage's name and seconds; the table of all when it is dropped.
pub struct Stages {
    title: &'static str,
    started: Instant,
    done: Vec<(String, Duration)>,
}

impl Stages {
    pub fn new(title: &'static str) -> Self {
        Self { title, started: Instant::now(), done: Vec::new() }
    }

    /// Runs one stage. An error of it names the stage.
    pub fn run<T>(&mut self, name: &str, stage: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        eprintln!("{}: {name} …", self.title);
        let start = Instant::now();
        let result = stage();
        let took = start.elapsed();
        let outcome = if result.is_ok() { "done" } else { "FAILED" };
        eprintln!("{}: {name} {outcome} ({:.1} s)", self.title, took.as_secs_f64());
        self.done.push((name.to_owned(), took));
        result.map_err(|error| error.context(format!("stage '{name}'")))
    }
}

impl Drop for Stages {
    fn drop(&mut self) {
        eprintln!("{}: timings", self.title);
        for (name, took) in &self.done {
            eprintln!("  {:7.1} s  {name}", took.as_secs_f64());
        }
        eprintln!("  {:7.1} s  all", self.started.elapsed().as_secs_f64());
    }
}
