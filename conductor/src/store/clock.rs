//! Times as the API shows them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// Now in UTC, ISO 8601 with microseconds and `+00:00` (API contract §1.1).
pub fn now_iso() -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]+00:00");
    OffsetDateTime::now_utc().format(format).expect("a UTC time has every component of the format")
}

/// Whole seconds from `earlier`, as [`now_iso`] wrote it, until now; `None` when it cannot be read.
pub fn seconds_since(earlier: &str) -> Option<i64> {
    let earlier = OffsetDateTime::parse(earlier, &Rfc3339).ok()?;
    Some((OffsetDateTime::now_utc() - earlier).whole_seconds().max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_times_have_microseconds_and_an_offset_and_read_back() {
        let now = now_iso();
        assert_eq!(now.len(), "2026-11-21T02:38:35.538370+00:00".len());
        assert!(now.ends_with("+00:00"));
        assert!(seconds_since(&now).is_some_and(|s| s < 5));
        assert!(seconds_since("2020-01-01T00:00:00.000000+00:00").is_some_and(|s| s > 100_000_000));
        assert_eq!(seconds_since("yesterday"), None);
    }
}
