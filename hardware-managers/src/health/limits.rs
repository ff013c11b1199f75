//! What a drive may have gone through, and the judgement.

use serde_json::{Map, Value};

use crate::drives::nvme::SmartLog;
use crate::managers::StepError;

/// When a drive is no longer fit for use. What a drive says of itself counts besides, whatever the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Percentage of its life at which a drive fails.
    percentage_used: u64,
    /// Errors of the medium that are still accepted.
    media_errors: u64,
    /// Percent of spare below which a drive fails.
    spare_minimum: u64,
    /// Drives fail that tell nothing.
    pub(super) require_health: bool,
}

impl Limits {
    /// # Errors
    ///
    /// [`StepError::InvalidParameter`].
    pub(super) fn from_args(args: &Map<String, Value>) -> Result<Self, StepError> {
        Ok(Self {
            percentage_used: number(args, "percentage_used_limit", 100)?,
            media_errors: number(args, "media_errors_limit", 0)?,
            spare_minimum: number(args, "spare_minimum_percent", 0)?,
            require_health: flag(args, "require_health")?,
        })
    }

    /// What is wrong with an NVMe drive, a line each.
    pub(super) fn judge(&self, log: &SmartLog) -> Vec<String> {
        let mut reasons = log.warnings();
        let spare = log.available_spare_percent;
        // Also said by the first warning; not by every drive.
        if spare < log.spare_threshold_percent && log.critical_warning & 1 == 0 {
            let threshold = log.spare_threshold_percent;
            reasons.push(format!("{spare} % of its spare are left, its threshold is {threshold} %"));
        }
        if u64::from(spare) < self.spare_minimum {
            let minimum = self.spare_minimum;
            reasons.push(format!("{spare} % of its spare are left, the minimum is {minimum} %"));
        }
        if u64::from(log.percentage_used) >= self.percentage_used {
            let (used, limit) = (log.percentage_used, self.percentage_used);
            reasons.push(format!("{used} % of its life are used, the limit is {limit} %"));
        }
        if log.media_errors > self.media_errors.into() {
            let (errors, limit) = (log.media_errors, self.media_errors);
            reasons.push(format!("{errors} errors of its medium, the limit is {limit}"));
        }
        reasons
    }
}

fn number(args: &Map<String, Value>, name: &str, default: u64) -> Result<u64, StepError> {
    match args.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value.as_u64().ok_or_else(|| invalid(name, "a number that is not negative", value)),
    }
}

pub(super) fn flag(args: &Map<String, Value>, name: &str) -> Result<bool, StepError> {
    match args.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| invalid(name, "true or false", value)),
    }
}

pub(super) fn invalid(name: &str, wanted: &str, found: &Value) -> StepError {
    StepError::InvalidParameter {
        parameter: name.to_owned(),
        problem: format!("must be {wanted}, not {found}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn log() -> SmartLog {
        SmartLog {
            critical_warning: 0,
            temperature_kelvin: 310,
            available_spare_percent: 50,
            spare_threshold_percent: 10,
            percentage_used: 80,
            power_on_hours: 1000,
            unsafe_shutdowns: 1,
            media_errors: 0,
            error_log_entries: 0,
        }
    }

    fn limits(args: Value) -> Result<Limits, StepError> {
        Limits::from_args(args.as_object().unwrap())
    }

    #[test]
    fn each_limit_is_kept_to_the_number() {
        let sane = limits(json!({})).unwrap();
        assert_eq!(sane.judge(&log()), [""; 0]);
        let wrong = |change: fn(&mut SmartLog)| {
            let mut log = log();
            change(&mut log);
            sane.judge(&log).len()
        };
        assert_eq!(wrong(|log| log.percentage_used = 99), 0);
        assert_eq!(wrong(|log| log.percentage_used = 100), 1);
        assert_eq!(wrong(|log| log.percentage_used = 255), 1);
        assert_eq!(wrong(|log| log.media_errors = 1), 1);
        assert_eq!(wrong(|log| log.media_errors = u128::MAX), 1);
        assert_eq!(wrong(|log| log.available_spare_percent = 10), 0);
        assert_eq!(wrong(|log| log.available_spare_percent = 9), 1);
        assert_eq!(wrong(|log| log.critical_warning = 0b1000_1001), 3);

        let strict = limits(json!({ "percentage_used_limit": 80, "spare_minimum_percent": 51 })).unwrap();
        assert_eq!(strict.judge(&log()).len(), 2);
        let lenient = limits(json!({ "media_errors_limit": 5, "percentage_used_limit": 200 })).unwrap();
        let worn = SmartLog { media_errors: 5, percentage_used: 120, ..log() };
        assert_eq!(lenient.judge(&worn), [""; 0]);
    }

    #[test]
    fn limits_that_are_none_are_refused() {
        for args in [
            json!({ "percentage_used_limit": "80" }),
            json!({ "media_errors_limit": -1 }),
            json!({ "spare_minimum_percent": 1.5 }),
            json!({ "require_health": "yes" }),
        ] {
            assert!(matches!(limits(args), Err(StepError::InvalidParameter { .. })));
        }
    }
}
