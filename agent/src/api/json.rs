//! JSON as Python's `json.dumps` writes it, which is what IPA answers (IPA contract §1.1): `", "` and `": "`, and
//! ASCII only.

use std::io::{self, Write};

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::ser::Formatter;

/// An answer in Python's JSON.
pub(super) fn respond<T: Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    let mut response = Response::new(Body::from(to_python(value)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Python's JSON text of a value.
pub(super) fn to_python<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, PythonFormatter);
    value.serialize(&mut serializer).expect("values of the API have string keys, and a Vec takes every byte");
    bytes
}

struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, character) in fragment.char_indices() {
            if character.is_ascii() && character != '\u{7f}' {
                continue;
            }
            writer.write_all(&fragment.as_bytes()[plain..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = at + character.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }

    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let text = format!("{value:?}");
        match text.split_once('e') {
            None => writer.write_all(text.as_bytes()),
            Some((digits, exponent)) => {
                let (sign, exponent) = match exponent.strip_prefix('-') {
                    Some(exponent) => ('-', exponent),
                    None => ('+', exponent),
                };
                write!(writer, "{digits}e{sign}{exponent:0>2}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(value: &serde_json::Value) -> String {
        String::from_utf8(to_python(value)).unwrap()
    }

    #[test]
    fn separators() {
        assert_eq!(text(&json!({"a": [1, 2, {}], "b": null})), r#"{"a": [1, 2, {}], "b": null}"#);
        assert_eq!(text(&json!({"commands": []})), r#"{"commands": []}"#);
    }

    #[test]
    fn ascii_only() {
        assert_eq!(text(&json!("ä\u{7f}\"\\\n\u{1}😀x")), r#""\u00e4\u007f\"\\\n\u0001\ud83d\ude00x""#);
    }

    #[test]
    fn floats() {
        let floats = json!([1795226977.4801128, 0.0001, 0.00001, 1e16, 1.5e300, 2.0]);
        assert_eq!(text(&floats), "[1795226977.4801128, 0.0001, 1e-05, 1e+16, 1.5e+300, 2.0]");
    }
}
