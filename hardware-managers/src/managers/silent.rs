use tacit_model::ProgressUnit;

use super::manager::StepObserver;

/// Hears nothing, and never stops anything: for work that nobody waits for by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silent;

impl StepObserver for Silent {
    fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: ProgressUnit) {}

    fn cancelled(&self) -> bool {
        false
    }
}
