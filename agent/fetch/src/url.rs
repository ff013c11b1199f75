//! URLs: just enough of RFC 3986 for images and redirects.

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

/// An absolute http or https URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: Scheme,
    authority: Authority,
    path: PathAndQuery,
}

/// Whom a URL leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) https: bool,
    /// Lower case; IPv6 addresses without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Why a text is no URL to fetch from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("is no absolute http or https URL")]
    NotAbsolute,
    #[error("would leave https for http")]
    Downgrade,
}

impl Url {
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let without_fragment = text.split('#').next().unwrap_or(text);
        let parts = without_fragment.parse::<Uri>().map_err(|_| UrlError::NotAbsolute)?.into_parts();
        match (parts.scheme, parts.authority) {
            (Some(scheme), Some(authority)) if scheme == Scheme::HTTP || scheme == Scheme::HTTPS => {
                let path = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
                Ok(Self { scheme, authority, path })
            }
            _ => Err(UrlError::NotAbsolute),
        }
    }

    /// Where a `Location` leads, seen from here.
    pub fn join(&self, location: &str) -> Result<Self, UrlError> {
        // Behind the path begins, `://` is a part of it: `/login?next=http://…` is relative.
        let before_path = location.find(['/', '?', '#']).unwrap_or(location.len());
        let target = if location[before_path..].starts_with("//") && location[..before_path].ends_with(':') {
            Self::parse(location)?
        } else if let Some(rest) = location.strip_prefix("//") {
            Self::parse(&format!("{}://{rest}", self.scheme))?
        } else {
            let directory = self.path.path().rsplit_once('/').map_or("", |(directory, _)| directory);
            let path = match location.chars().next() {
                Some('/') => location.to_owned(),
                Some('?') => format!("{}{location}", self.path.path()),
                _ => format!("{directory}/{location}"),
            };
            Self::parse(&format!("{}://{}{path}", self.scheme, self.authority))?
        };
        if self.scheme == Scheme::HTTPS && target.scheme == Scheme::HTTP {
            return Err(UrlError::Downgrade);
        }
        Ok(target)
    }

    /// Whether both are the same scheme, host and port: only then may credentials of one be shown to the other.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.origin() == other.origin()
    }

    pub(crate) fn origin(&self) -> Origin {
        let https = self.scheme == Scheme::HTTPS;
        let host = self.authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = self.authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        Origin { https, host: host.to_ascii_lowercase(), port }
    }

    /// `http://host/path?query`, as sent over a lent connection.
    pub fn absolute_form(&self) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(self.path.clone());
        Uri::from_parts(parts).expect("scheme, authority and path make a URI")
    }

    /// `/path?query`, as sent to the server itself.
    pub fn origin_form(&self) -> Uri {
        Uri::from(self.path.clone())
    }

    /// Value of the `Host` header; user information is not for servers.
    pub fn host(&self) -> String {
        let host = self.authority.as_str();
        host.rsplit_once('@').map_or(host, |(_, host)| host).to_owned()
    }

    /// Last component of the path.
    pub fn file_name(&self) -> &str {
        self.path.path().rsplit('/').next().unwrap_or_default()
    }

    /// For logs and errors: without query and user information.
    pub fn redacted(&self) -> String {
        format!("{}://{}{}", self.scheme, self.host(), self.path.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins() {
        let base = Url::parse("http://a:81/b/c?d").unwrap();
        for (location, joined) in [
            ("http://x/y", "http://x/y"),
            ("//x/y", "http://x/y"),
            ("/y?z", "http://a:81/y?z"),
            ("y", "http://a:81/b/y"),
            ("?q", "http://a:81/b/c?q"),
            ("/y?z=http://x/w", "http://a:81/y?z=http://x/w"),
            ("y?z=http://x/w", "http://a:81/b/y?z=http://x/w"),
        ] {
            assert_eq!(base.join(location).unwrap().absolute_form().to_string(), joined);
        }
    }

    #[test]
    fn https_is_not_left() {
        let base = Url::parse("https://a/b").unwrap();
        assert_eq!(base.join("http://a/b"), Err(UrlError::Downgrade));
        assert!(Url::parse("http://a/b").unwrap().join("https://a/b").is_ok());
    }

    #[test]
    fn secrets_stay_out_of_logs() {
        let url = Url::parse("https://user:pass@host:8443/image?token=secret").unwrap();
        assert_eq!(url.redacted(), "https://host:8443/image");
        assert_eq!(url.host(), "host:8443");
        assert_eq!(url.file_name(), "image");
    }

    #[test]
    fn origins() {
        let same = |a: &str, b: &str| Url::parse(a).unwrap().same_origin(&Url::parse(b).unwrap());
        assert!(same("https://a/x", "https://A:443/y?z"));
        assert!(same("http://u:p@a/x", "http://a:80/y"));
        assert!(!same("https://a/x", "http://a/x"));
        assert!(!same("https://a/x", "https://a:8443/x"));
        assert!(!same("https://a/x", "https://b.a/x"));
        assert_eq!(Url::parse("http://[::1]:81/x").unwrap().origin().host, "::1");
    }

    #[test]
    fn only_http() {
        for text in ["file:///etc/passwd", "/x", "ftp://x/y", "", "http://"] {
            assert_eq!(Url::parse(text), Err(UrlError::NotAbsolute), "{text}");
        }
    }
}
