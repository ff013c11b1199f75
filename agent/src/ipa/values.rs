//! What the value of an option has to be. What comes from a boot and makes no sense must not keep the agent from
//! starting, for it would be started again with the same for ever: it is put right or left out, and named in the log.

use tacit_hardware::Collector;

/// Nobody waits longer for a switch, in seconds.
const LLDP_SECONDS: (f64, f64) = (1.0, 300.0);

/// How an option's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// As it is. Whoever reads it refuses what makes no sense: where to listen, and what keeps callers out.
    Text,
    /// True or false, as oslo.config has them.
    Flag,
    /// A whole number from 0 on.
    Count,
    LldpSeconds,
    /// Names of collectors with commas.
    Collectors,
    /// `noauth` or `http_basic`.
    Authentication,
}

/// What is taken of a value, and what is to be said of the rest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) value: Option<String>,
    pub(super) remarks: Vec<String>,
}

impl Taken {
    fn whole(value: impl Into<String>) -> Self {
        Self { value: Some(value.into()), remarks: Vec::new() }
    }

    fn nothing(wants: &str) -> Self {
        Self { value: None, remarks: vec![format!("ignored: its value is not {wants}")] }
    }

    /// `meant` as a text, with a word about it where that is another number than the one given.
    fn number(given: f64, meant: f64) -> Self {
        let differs = (given - meant).abs() >= f64::EPSILON;
        Self {
            value: Some(meant.to_string()),
            remarks: differs.then(|| format!("taken as {meant}")).into_iter().collect(),
        }
    }
}

impl Shape {
    /// Takes what makes sense of a value. An empty one is that of nobody, and stays.
    pub(super) fn take(self, value: &str) -> Taken {
        let word = value.trim();
        if word.is_empty() {
            return Taken::whole(value);
        }
        match self {
            Self::Text => Taken::whole(value),
            Self::Flag => flag(word)
                .map_or_else(|| Taken::nothing("true or false"), |flag| Taken::whole(flag.to_string())),
            Self::Count => match word.parse::<f64>() {
                Ok(number) if number >= 0.0 => Taken::number(number, number.floor().min(u32::MAX.into())),
                _ => Taken::nothing("a whole number"),
            },
            Self::LldpSeconds => match word.parse::<f64>() {
                Ok(number) if !number.is_nan() => {
                    Taken::number(number, number.clamp(LLDP_SECONDS.0, LLDP_SECONDS.1))
                }
                _ => Taken::nothing("a number of seconds"),
            },
            Self::Collectors => collectors(word),
            Self::Authentication if ["noauth", "http_basic"].contains(&word) => Taken::whole(word),
            Self::Authentication => Taken::nothing("noauth or http_basic"),
        }
    }
}

/// True or false, as oslo.config has them.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" => Some(true),
        "0" | "false" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// Collectors are named: which of them somebody misses is no secret.
fn collectors(text: &str) -> Taken {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let (known, unknown): (Vec<_>, Vec<_>) = names.partition(|name| name.parse::<Collector>().is_ok());
    let remarks = unknown.iter().map(|name| format!("{name:?} is ignored: there is no such collector here"));
    Taken { value: (!known.is_empty()).then(|| known.join(",")), remarks: remarks.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shape: Shape, text: &str) -> (Option<String>, bool) {
        let Taken { value, remarks } = shape.take(text);
        (value, !remarks.is_empty())
    }

    #[test]
    fn what_makes_sense_is_taken_and_the_rest_is_named() {
        let some = |text: &str, named: bool| (Some(text.to_owned()), named);
        for (shape, text, expected) in [
            (Shape::Flag, "Yes", some("true", false)),
            (Shape::Flag, "0", some("false", false)),
            (Shape::Flag, "perhaps", (None, true)),
            (Shape::Flag, "", some("", false)),
            (Shape::Count, "30", some("30", false)),
            (Shape::Count, "1.5", some("1", true)),
            (Shape::Count, "1e99", some("4294967295", true)),
            (Shape::Count, "-1", (None, true)),
            (Shape::Count, "soon", (None, true)),
            (Shape::Count, "nan", (None, true)),
            (Shape::LldpSeconds, "5.5", some("5.5", false)),
            (Shape::LldpSeconds, "0.5", some("1", true)),
            (Shape::LldpSeconds, "400", some("300", true)),
            (Shape::LldpSeconds, "inf", some("300", true)),
            (Shape::LldpSeconds, "nan", (None, true)),
            (Shape::Collectors, "default,\n logs", some("default,logs", false)),
            (Shape::Collectors, "default,extra-hardware,logs", some("default,logs", true)),
            (Shape::Collectors, "gossip", (None, true)),
            (Shape::Authentication, "http_basic", some("http_basic", false)),
            (Shape::Authentication, "digest", (None, true)),
            (Shape::Text, "anything", some("anything", false)),
        ] {
            assert_eq!(of(shape, text), expected, "{shape:?} {text}");
        }
        assert_eq!(Shape::Collectors.take("a, b").remarks.len(), 2);
    }
}
