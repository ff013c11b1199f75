//! Request bodies: bounded, and parsed with Python's words for what is wrong.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fault::{self, Refusal};

/// Largest body: a config drive of 64 MiB in base64, and room for a node object.
pub(super) const LIMIT: usize = 90 * 1024 * 1024;

/// How long the rest of a refused body is swallowed, so that the caller gets to read the refusal.
const LINGER: Duration = Duration::from_secs(2);

/// Longest silence inside a body.
const STALL: Duration = Duration::from_secs(60);

/// The whole body, or the answer that refuses it.
pub(super) async fn read(request: Request<Body>) -> Result<Bytes, Refusal> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
        .unwrap_or(0);
    let mut body = request.into_body();
    if announced > LIMIT as u64 {
        swallow(body);
        return Err(fault::too_large(LIMIT).into());
    }
    let mut bytes = Vec::with_capacity(announced as usize);
    loop {
        match tokio::time::timeout(STALL, body.frame()).await {
            Ok(None) => return Ok(bytes.into()),
            Ok(Some(Ok(frame))) => {
                let data = frame.into_data().unwrap_or_default();
                if bytes.len() + data.len() > LIMIT {
                    swallow(body);
                    return Err(fault::too_large(LIMIT).into());
                }
                bytes.extend_from_slice(&data);
            }
            Ok(Some(Err(error))) => {
                let text = format!("The body broke off: {error}");
                return Err(fault::framework(StatusCode::BAD_REQUEST, &text).into());
            }
            Err(_) => {
                let text = "The body did not arrive in time.";
                return Err(fault::framework(StatusCode::REQUEST_TIMEOUT, text).into());
            }
        }
    }
}

fn swallow(mut body: Body) {
    tokio::spawn(tokio::time::timeout(LINGER, async move { while let Some(Ok(_)) = body.frame().await {} }));
}

/// The body as JSON, or the answer that refuses it.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Refusal> {
    parse_as(bytes)
}

/// The body as JSON of one kind, or the answer that refuses it.
pub(super) fn parse_as<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| {
        let text = format!("Failed to decode JSON object: {}", python_message(bytes, &error));
        fault::framework(StatusCode::BAD_REQUEST, &text).into()
    })
}

/// `Expecting value: line 1 column 10 (char 9)`: positions as Python counts them.
fn python_message(bytes: &[u8], error: &serde_json::Error) -> String {
    let (line, column) = (error.line().max(1), error.column() + usize::from(error.is_eof()));
    let mut column = column.max(1);
    let whole = error.to_string();
    let what = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(what, _)| what);
    if what == "expected ident" {
        // Where the word began, not where it went wrong.
        let text = bytes.split(|byte| *byte == b'\n').nth(line - 1).unwrap_or_default();
        while column > 1 && text.get(column - 2).is_some_and(u8::is_ascii_alphabetic) {
            column -= 1;
        }
    }
    let before: usize = bytes.split(|byte| *byte == b'\n').take(line - 1).map(|text| text.len() + 1).sum();
    let what = match what {
        "EOF while parsing a value" | "expected value" | "expected ident" | "EOF while parsing an object" => {
            "Expecting value"
        }
        "trailing characters" => "Extra data",
        "key must be a string" | "trailing comma" => "Expecting property name enclosed in double quotes",
        control if control.starts_with("control character") => "Invalid control character at",
        other => other,
    };
    format!("{what}: line {line} column {column} (char {})", before + column - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> String {
        let error = serde_json::from_slice::<Value>(bytes).unwrap_err();
        python_message(bytes, &error)
    }

    #[test]
    fn positions_are_pythons() {
        assert_eq!(message(b""), "Expecting value: line 1 column 1 (char 0)");
        assert_eq!(message(b"{\"name\": "), "Expecting value: line 1 column 10 (char 9)");
        assert_eq!(message(b"\xff\xfe"), "Expecting value: line 1 column 1 (char 0)");
        assert_eq!(message(b"name=x"), "Expecting value: line 1 column 1 (char 0)");
        assert_eq!(message(b"[\n trve]"), "Expecting value: line 2 column 2 (char 3)");
        assert_eq!(message(b"{} x"), "Extra data: line 1 column 4 (char 3)");
        let property = "Expecting property name enclosed in double quotes";
        assert_eq!(message(b"{'a': 1}"), format!("{property}: line 1 column 2 (char 1)"));
        assert_eq!(message(b"{\"a\": 1,}"), format!("{property}: line 1 column 9 (char 8)"));
        assert_eq!(message(b"{\n\"a\": x}"), "Expecting value: line 2 column 6 (char 7)");
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
        assert!(message(&deep).starts_with("recursion limit exceeded: line 1 column 128"));
    }
}
