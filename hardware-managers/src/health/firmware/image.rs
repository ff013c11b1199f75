//! The argument `images`.

use serde_json::Value;

use super::source::{Fetch, Place};
use crate::checksum::Checksum;
use crate::managers::StepError;

/// An image as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageRequest {
    place: Place,
    checksum: Checksum,
    model: String,
    /// Revision that the drive is to show afterwards.
    pub(super) version: String,
    pub(super) slot: Option<u8>,
}

/// A revision has eight characters in the drive's log.
const LONGEST_VERSION: usize = 8;

/// Reads the whole argument before anything is done.
///
/// # Errors
///
/// [`StepError::InvalidParameter`] names the place in the list.
pub(super) fn parse(images: Option<&Value>) -> Result<Vec<ImageRequest>, StepError> {
    let list = images
        .and_then(Value::as_array)
        .filter(|list| !list.is_empty())
        .ok_or_else(|| invalid("images", "must be a list of at least one image"))?;
    list.iter().enumerate().map(|(at, item)| ImageRequest::parse(&format!("images[{at}]"), item)).collect()
}

impl ImageRequest {
    fn parse(place: &str, item: &Value) -> Result<Self, StepError> {
        let field = |name: &str| -> Result<&str, StepError> {
            item[name]
                .as_str()
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .ok_or_else(|| invalid(&format!("{place}.{name}"), "must be text"))
        };
        let url = Place::parse(field("url")?).ok_or_else(|| {
            invalid(&format!("{place}.url"), "must be a URL (https, http, file) or a path in the ramdisk")
        })?;
        let checksum = Checksum::parse(field("checksum")?)
            .ok_or_else(|| invalid(&format!("{place}.checksum"), &format!("must be {}", Checksum::FORM)))?;
        let version = field("version")?;
        if version.len() > LONGEST_VERSION || !version.chars().all(|letter| matches!(letter, '!'..='~' | ' '))
        {
            return Err(invalid(
                &format!("{place}.version"),
                "must have at most 8 printable ASCII characters",
            ));
        }
        let slot = match &item["slot"] {
            Value::Null => None,
            slot => Some(
                slot.as_u64()
                    .and_then(|slot| u8::try_from(slot).ok())
                    .filter(|slot| (1..=7).contains(slot))
                    .ok_or_else(|| invalid(&format!("{place}.slot"), "must be a number from 1 to 7"))?,
            ),
        };
        Ok(Self {
            place: url,
            checksum,
            model: field("model")?.to_owned(),
            version: version.to_owned(),
            slot,
        })
    }

    /// Whether it is made for a model. Case does not count.
    pub(super) fn fits(&self, model: &str) -> bool {
        matches(&self.model.to_ascii_lowercase(), &model.trim().to_ascii_lowercase())
    }

    /// The bytes, when they are those that were asked for; no more than `limit` of them are held.
    ///
    /// # Errors
    ///
    /// [`StepError::InvalidParameter`], and whatever `fetch` failed with.
    pub(super) fn load(&self, fetch: Fetch<'_>, limit: usize) -> Result<Vec<u8>, StepError> {
        let bytes = self.place.read(fetch, limit)?;
        if !self.checksum.is_of(&bytes) {
            return Err(invalid(&self.place.to_string(), "does not have the checksum that was given"));
        }
        Ok(bytes)
    }
}

/// `*` stands for any letters, `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut place) = (0, 0);
    // Where the last star is, and how much it stood for so far.
    let mut star: Option<(usize, usize)> = None;
    while place < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(letter) if *letter == b'?' || *letter == text[place] => {
                at += 1;
                place += 1;
            }
            _ => {
                let Some((star_at, stood_for)) = star else { return false };
                star = Some((star_at, stood_for + 1));
                (at, place) = (star_at + 1, stood_for + 1);
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

fn invalid(parameter: &str, problem: &str) -> StepError {
    StepError::InvalidParameter { parameter: parameter.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_stand_for_models() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("sam*pm9a3*", "samsung mz-pm9a3 1.9t", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("", "a", false),
            ("a", "", false),
            ("*a*b", "xaxbxb", true),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    fn item() -> Value {
        json!({ "url": "file:///images/x.bin", "checksum": "ab".repeat(32), "model": "SIM*", "version": "2.0" })
    }

    #[test]
    fn a_good_request_is_read() {
        let image = &parse(Some(&json!([item()]))).unwrap()[0];
        assert_eq!(image.place, Place::File("/images/x.bin".into()));
        assert_eq!((Some(image.checksum.clone()), image.slot), (Checksum::parse(&"ab".repeat(32)), None));
        assert!(image.fits(" Simulated NVMe ") && !image.fits("Other"));
    }

    #[test]
    fn what_is_not_sure_is_refused() {
        for (name, value) in [
            ("url", json!("ftp://example.org/x.bin")),
            ("url", json!("relative")),
            ("url", Value::Null),
            ("checksum", Value::Null),
            ("checksum", json!("ab")),
            ("checksum", json!("zz".repeat(32))),
            ("checksum", json!(format!("md5:{}", "ab".repeat(32)))),
            ("checksum", json!(format!("sha512:{}", "ab".repeat(32)))),
            ("model", json!("")),
            ("version", json!("123456789")),
            ("version", json!("ä")),
            ("slot", json!(0)),
            ("slot", json!(8)),
            ("slot", json!("1")),
        ] {
            let mut item = item();
            item[name] = value.clone();
            let error = parse(Some(&json!([item]))).unwrap_err();
            assert!(error.details().contains(&format!("images[0].{name}")), "{name} {value}: {error}");
        }
        for list in [None, Some(json!([])), Some(json!({}))] {
            assert!(parse(list.as_ref()).is_err());
        }
    }
}
