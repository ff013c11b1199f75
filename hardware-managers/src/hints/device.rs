//! Hints as an operator gives them, matched against one disk.

use std::borrow::Cow;

use serde_json::Value;
use tacit_model::BlockDevice;

use super::expression::Expression;
use crate::machine::{ata_compatible, virtio_compatible};

/// Why a hint object was refused. A hint that cannot be understood must not choose a disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HintError {
    #[error("root device hints must be an object, not {found}")]
    NotAnObject { found: String },
    #[error("unknown root device hint '{name}'; known are {}", NAMES.join(", "))]
    Unknown { name: String },
    #[error("root device hint '{name}' must be {wanted}, not {found}")]
    WrongType { name: String, wanted: &'static str, found: String },
    #[error("root device hint '{name}' {problem}")]
    Malformed { name: String, problem: String },
}

/// The twelve hints.
const NAMES: [&str; 12] = [
    "name",
    "by_path",
    "model",
    "vendor",
    "serial",
    "wwn",
    "wwn_with_extension",
    "wwn_vendor_extension",
    "hctl",
    "size",
    "rotational",
    "tran",
];

/// Hints whose value belongs to one disk only.
const UNIQUE: [&str; 6] = ["serial", "wwn", "wwn_with_extension", "by_path", "name", "hctl"];

#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Rotational(bool),
    Size(Expression),
    Text(Expression),
}

/// A parsed hint object: all of its hints must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct RootDeviceHints {
    hints: Vec<(&'static str, Wanted, String)>,
}

/// Same as [`RootDeviceHints::from_json`].
///
/// # Errors
///
/// [`HintError`].
pub fn parse(hints: &Value) -> Result<RootDeviceHints, HintError> {
    RootDeviceHints::from_json(hints)
}

impl RootDeviceHints {
    /// Reads `properties.root_device` or an entry of `properties.skip_block_devices`.
    ///
    /// # Errors
    ///
    /// [`HintError`] for anything that is not a known hint with a well-formed value.
    pub fn from_json(hints: &Value) -> Result<Self, HintError> {
        let Value::Object(map) = hints else {
            return Err(HintError::NotAnObject { found: kind_of(hints).to_owned() });
        };
        let hints = map.iter().map(|(name, value)| parse_one(name, value)).collect::<Result<_, _>>()?;
        Ok(Self { hints })
    }

    /// Whether there is no hint at all, which matches every disk.
    pub fn is_empty(&self) -> bool {
        self.hints.is_empty()
    }

    /// Whether every hint holds for this disk.
    pub fn matches(&self, disk: &BlockDevice) -> bool {
        self.first_miss(disk).is_none()
    }

    /// Hints that should be true of one disk only.
    pub(super) fn unique_hints(&self) -> Vec<&'static str> {
        self.hints.iter().map(|(name, ..)| *name).filter(|name| UNIQUE.contains(name)).collect()
    }

    /// The hint that stands first; empty without hints.
    pub(super) fn first_name(&self) -> &'static str {
        self.hints.first().map_or("", |(name, ..)| *name)
    }

    /// The first hint that does not hold, with what the disk has in its place.
    pub(super) fn first_miss(&self, disk: &BlockDevice) -> Option<String> {
        self.hints.iter().find_map(|(name, wanted, text)| {
            let (holds, found) = match wanted {
                Wanted::Rotational(value) => (disk.rotational == *value, disk.rotational.to_string()),
                Wanted::Size(expression) => {
                    let gib = gibibytes(disk.size);
                    (expression.accepts_number(gib), format!("{gib} GiB"))
                }
                Wanted::Text(expression) => {
                    let facts = facts(disk, name);
                    let found =
                        facts.first().map_or_else(|| "nothing".to_owned(), |fact| format!("'{fact}'"));
                    let accepts = |fact: &Cow<'_, str>| expression.accepts_text(fact);
                    // What must not be is not to be found under another of the disk's names either.
                    let holds = match expression.negates() {
                        true => !facts.is_empty() && facts.iter().all(accepts),
                        false => facts.iter().any(accepts),
                    };
                    (holds, found)
                }
            };
            (!holds).then(|| format!("{name} is {found}, wanted '{text}'"))
        })
    }
}

fn parse_one(name: &str, value: &Value) -> Result<(&'static str, Wanted, String), HintError> {
    let known = NAMES
        .into_iter()
        .find(|known| *known == name)
        .ok_or_else(|| HintError::Unknown { name: name.to_owned() })?;
    let wrong =
        |wanted| HintError::WrongType { name: name.to_owned(), wanted, found: kind_of(value).to_owned() };
    let malformed = |problem| HintError::Malformed { name: name.to_owned(), problem };
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return Err(wrong("text, a number or a boolean")),
    };
    let wanted = match known {
        "rotational" => Wanted::Rotational(
            strict_bool(&text).ok_or_else(|| malformed(format!("'{text}' is neither true nor false")))?,
        ),
        "size" => {
            if value.is_boolean() {
                return Err(wrong("a number of GiB"));
            }
            let expression = Expression::parse(&text, true).map_err(malformed)?;
            let numbers = expression.numbers();
            if numbers.is_empty() || numbers.iter().any(|number| *number <= 0.0) {
                return Err(malformed(format!("'{text}' must name sizes above 0 GiB")));
            }
            Wanted::Size(expression)
        }
        _ if !value.is_string() => return Err(wrong("text")),
        _ => Wanted::Text(Expression::parse(&text, false).map_err(malformed)?),
    };
    Ok((known, wanted, text))
}

/// All facts that may answer a text hint.
fn facts<'a>(disk: &'a BlockDevice, name: &str) -> Vec<Cow<'a, str>> {
    let mut facts = match name {
        "name" => vec![Some(disk.name.as_str())],
        "by_path" => return places(disk),
        "model" => vec![disk.model.as_deref()],
        "vendor" => vec![disk.vendor.as_deref()],
        "serial" => return serials(disk),
        // udev's ID_WWN is the long name without its extension; a hint may have been taken from there.
        "wwn" => vec![disk.wwn.as_deref(), short_wwn(disk)],
        "wwn_with_extension" => vec![disk.wwn_with_extension.as_deref()],
        "wwn_vendor_extension" => vec![disk.wwn_vendor_extension.as_deref()],
        "hctl" => vec![disk.hctl.as_deref()],
        "tran" => vec![disk.tran.as_deref()],
        _ => Vec::new(),
    };
    facts.retain(|fact| fact.is_some_and(|fact| !fact.trim().is_empty()));
    facts.into_iter().flatten().map(Cow::Borrowed).collect()
}

/// All names below `/dev/disk/by-path` that lead to the disk.
fn places(disk: &BlockDevice) -> Vec<Cow<'_, str>> {
    let Some(place) = disk.by_path.as_deref() else { return Vec::new() };
    let mut facts: Vec<Cow<'_, str>> = vec![place.into()];
    facts.extend(ata_compatible(place).map(Cow::Borrowed));
    if disk.tran.as_deref() == Some("virtio") {
        facts.extend(virtio_compatible(place).map(Cow::Owned));
    }
    facts
}

/// The serial, and what udev calls `ID_SERIAL` and `ID_SERIAL_SHORT`, from where a hint may have been taken: for SCSI
/// disks the digits of the world wide name, with the 3 that means NAA before them or not; for others the model and
/// the serial with underscores.
fn serials(disk: &BlockDevice) -> Vec<Cow<'_, str>> {
    let mut facts: Vec<Cow<'_, str>> = Vec::new();
    let serial = disk.serial.as_deref().map(str::trim).filter(|serial| !serial.is_empty());
    if let Some(serial) = serial {
        facts.push(serial.into());
        if let Some(model) = &disk.model {
            facts.push(
                format!("{} {serial}", model.trim()).split_whitespace().collect::<Vec<_>>().join("_").into(),
            );
        }
    }
    if let Some(digits) = disk.wwn_with_extension.as_deref().and_then(|name| name.strip_prefix("0x")) {
        facts.push(digits.into());
        facts.push(format!("3{digits}").into());
    }
    facts
}

/// The first 64 bits of a name with an extension, as `0x` and 16 digits.
fn short_wwn(disk: &BlockDevice) -> Option<&str> {
    disk.wwn_vendor_extension.as_ref()?;
    disk.wwn_with_extension.as_deref()?.get(..18)
}

#[expect(clippy::cast_precision_loss, reason = "Ironic compares sizes as floating point numbers of GiB")]
fn gibibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn strict_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Some(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Some(false),
        _ => None,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
