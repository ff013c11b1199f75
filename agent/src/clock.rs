//! The clock is delivered: by the medium as a floor, by the conductor to the second. No NTP.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};

/// Seconds since 1970 by this machine's clock.
pub fn unix_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Seconds since the kernel started, sleep included.
pub fn uptime() -> f64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0.0, |time| Duration::from(time).as_secs_f64())
}

/// Sets the machine's clock to at least `floor` (Unix time in seconds); tells whether it had to.
pub fn raise_to(floor: i64) -> nix::Result<bool> {
    if unix_time() >= floor as f64 {
        return Ok(false);
    }
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::new(floor, 0))?;
    Ok(true)
}

/// Whether this process may set the machine's clock.
#[derive(Debug)]
pub enum Clock {
    Machine,
    /// Remembers only what was asked for: an agent among other work on a machine.
    Recorded(Mutex<Option<f64>>),
}

/// Why a time was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    #[error("{0} is no time between 2020 and 2200")]
    Absurd(f64),
    #[error("the kernel refused to set the clock")]
    Set(#[source] nix::Error),
}

const YEAR_2020: f64 = 1_577_836_800.0;
const YEAR_2200: f64 = 7_258_118_400.0;

impl Clock {
    pub fn recorded() -> Self {
        Self::Recorded(Mutex::new(None))
    }

    /// Takes the caller's time, forwards or backwards, and returns the time now in force.
    pub fn set(&self, time: f64) -> Result<f64, ClockError> {
        if !(YEAR_2020..YEAR_2200).contains(&time) {
            return Err(ClockError::Absurd(time));
        }
        match self {
            Self::Machine => {
                let before = unix_time();
                let spec = TimeSpec::from_duration(Duration::from_secs_f64(time));
                clock_settime(ClockId::CLOCK_REALTIME, spec).map_err(ClockError::Set)?;
                tracing::info!("clock set by {:+.3} s", time - before);
            }
            Self::Recorded(wish) => {
                *wish.lock().unwrap_or_else(PoisonError::into_inner) = Some(time);
            }
        }
        Ok(unix_time())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_times_are_refused() {
        let clock = Clock::recorded();
        for time in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e18] {
            assert!(clock.set(time).is_err(), "{time}");
        }
        assert!(clock.set(1_800_000_000.0).is_ok());
    }
}
