//! Microversions (API contract §1.2): which one a request speaks.

use axum::http::HeaderMap;

/// Version `1.N` of the API, by its N.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u16);

pub(super) const MIN: Version = Version(1);
pub(super) const MAX: Version = Version(115);

pub(super) const HEADER: &str = "x-openstack-ironic-api-version";
pub(super) const HEADER_MIN: &str = "x-openstack-ironic-api-minimum-version";
pub(super) const HEADER_MAX: &str = "x-openstack-ironic-api-maximum-version";
/// The form that all services share: `baremetal 1.N`.
const HEADER_SHARED: &str = "openstack-api-version";

/// Why a request's version cannot be served.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A version, but none of ours: the answer says which are.
    Unsupported(String),
    /// No version at all.
    Unreadable(String),
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

/// The version that a request asks for; the lowest when it asks for none.
pub(super) fn requested(headers: &HeaderMap) -> Result<Version, Refusal> {
    let text = |name: &str| headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let shared = || {
        let services = text(HEADER_SHARED)?;
        let ours =
            services.split(',').find_map(|s| s.trim().strip_prefix("baremetal ").map(str::to_owned))?;
        Some(ours)
    };
    match text(HEADER).or_else(shared) {
        Some(wanted) => parse(wanted.trim()),
        None => Ok(MIN),
    }
}

fn parse(wanted: &str) -> Result<Version, Refusal> {
    if wanted.eq_ignore_ascii_case("latest") {
        return Ok(MAX);
    }
    let unreadable = || Refusal::Unreadable(wanted.to_owned());
    let (major, minor) = wanted.split_once('.').ok_or_else(unreadable)?;
    let number = |part: &str| part.parse::<u32>().map_err(|_| unreadable());
    match (number(major)?, u16::try_from(number(minor)?)) {
        (1, Ok(minor)) if (MIN.0..=MAX.0).contains(&minor) => Ok(Version(minor)),
        _ => Err(Refusal::Unsupported(wanted.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&'static str, &'static str)]) -> Result<Version, Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        requested(&headers)
    }

    #[test]
    fn both_headers_latest_and_none() {
        assert_eq!(of(&[]), Ok(MIN));
        assert_eq!(of(&[(HEADER, "1.9")]), Ok(Version(9)));
        assert_eq!(of(&[(HEADER, "LATEST")]), Ok(MAX));
        assert_eq!(of(&[(HEADER_SHARED, "compute 2.1, baremetal 1.81")]), Ok(Version(81)));
        assert_eq!(of(&[(HEADER_SHARED, "compute 2.1")]), Ok(MIN));
    }

    #[test]
    fn versions_that_are_not_ours() {
        for wanted in ["1.0", "1.116", "2.1", "1.99999999"] {
            assert_eq!(of(&[(HEADER, wanted)]), Err(Refusal::Unsupported(wanted.into())), "{wanted}");
        }
        for wanted in ["", "1", "new", "1.x", "1.2.3"] {
            assert_eq!(of(&[(HEADER, wanted)]), Err(Refusal::Unreadable(wanted.into())), "{wanted}");
        }
    }
}
