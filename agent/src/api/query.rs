//! Query strings as IPA's framework reads them: the first of several values counts, and nothing is malformed.

/// The value of `name`, decoded.
pub(super) fn value(query: Option<&str>, name: &str) -> Option<String> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (!pair.is_empty() && decode(key, true) == name).then(|| decode(value, true))
    })
}

/// The query without one name, whatever its values; `None` when nothing is left.
pub(super) fn without(query: Option<&str>, name: &str) -> Option<String> {
    let rest: Vec<&str> = query?
        .split('&')
        .filter(|pair| decode(pair.split_once('=').map_or(*pair, |(key, _)| key), true) != name)
        .collect();
    (!rest.is_empty()).then(|| rest.join("&"))
}

/// Undoes percent encoding, and in queries the plus signs for blanks. What is no UTF-8 becomes U+FFFD.
pub(super) fn decode(text: &str, plus_is_blank: bool) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        let escaped = hex.filter(|hex| !hex.contains('+')).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], escaped) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 2;
            }
            (b'+', _) if plus_is_blank => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Undoes percent encoding in a part of a path, but of slashes, as IPA's server does.
pub(super) fn decode_segment(text: &str) -> String {
    decode(&text.replace("%2F", "%252F").replace("%2f", "%252f"), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_counts() {
        let query = Some("wait=true&agent_token=a%2Bb+c&agent_token=second&wait");
        assert_eq!(value(query, "agent_token").as_deref(), Some("a+b c"));
        assert_eq!(value(query, "wait").as_deref(), Some("true"));
        assert_eq!(value(Some("wait"), "wait").as_deref(), Some(""));
        assert_eq!(value(Some("agent%5ftoken=x"), "agent_token").as_deref(), Some("x"));
        assert_eq!(value(Some(""), "wait"), None);
        assert_eq!(value(None, "wait"), None);
    }

    #[test]
    fn nothing_is_malformed() {
        assert_eq!(decode("a%zz%2", false), "a%zz%2");
        assert_eq!(decode("%ff", false), "\u{fffd}");
        assert_eq!(decode("a+b", false), "a+b");
        assert_eq!(decode("%+1", true), "% 1");
        assert_eq!(decode_segment("a%2Fb%20%2f"), "a%2Fb %2f");
    }

    #[test]
    fn no_spelling_of_the_token_is_left() {
        let query = Some("agent_token=x&wait=true&%61gent_token=y&agent_token");
        assert_eq!(without(query, "agent_token").as_deref(), Some("wait=true"));
        assert_eq!(without(Some("agent_token=x"), "agent_token"), None);
        assert_eq!(without(None, "agent_token"), None);
    }
}
