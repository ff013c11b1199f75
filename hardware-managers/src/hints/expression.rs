//! The operator language of hints: an optional operator and its values.
//!
//! Values and device facts are compared lower case and trimmed. Ironic percent-quotes both sides so that blanks
//! survive its grammar; here blanks are no danger, so nothing is quoted.

/// What one hint asks of one fact.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Number(Comparison, f64),
    Text(Comparison, String),
    /// `<in>`: the value is a part of the fact.
    Contains(String),
    /// `<or>`: the fact is one of the values.
    AnyOf(Vec<String>),
    /// `<all-in>`: every value is a part of the fact.
    AllIn(Vec<String>),
    /// `<range-in>`.
    Range {
        low: f64,
        low_open: bool,
        high: f64,
        high_open: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};

/// Longer operators before their own prefixes.
const TEXT: [(&str, Comparison); 6] = [
    ("s==", Equal),
    ("s!=", NotEqual),
    ("s<=", LessOrEqual),
    ("s>=", GreaterOrEqual),
    ("s<", Less),
    ("s>", Greater),
];

/// A single `=` means "at least", a habit that Ironic inherited from Nova's scheduler.
const NUMBER: [(&str, Comparison); 7] = [
    ("==", Equal),
    ("!=", NotEqual),
    ("<=", LessOrEqual),
    (">=", GreaterOrEqual),
    ("=", GreaterOrEqual),
    ("<", Less),
    (">", Greater),
];

impl Comparison {
    fn holds<T: PartialOrd + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Equal => left == right,
            NotEqual => left != right,
            Less => left < right,
            LessOrEqual => left <= right,
            Greater => left > right,
            GreaterOrEqual => left >= right,
        }
    }
}

impl Expression {
    /// Reads a hint's text; without an operator it means equality, of numbers where `numeric`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub(super) fn parse(text: &str, numeric: bool) -> Result<Self, String> {
        let text = text.trim().to_lowercase();
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        if let Some(rest) = text.strip_prefix("<in>") {
            return Ok(Self::Contains(one(rest)?));
        }
        if let Some(rest) = text.strip_prefix("<or>") {
            let values: Result<Vec<_>, _> = rest.split("<or>").map(one).collect();
            return Ok(Self::AnyOf(values?));
        }
        if let Some(rest) = text.strip_prefix("<all-in>") {
            let values: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
            return if values.is_empty() {
                Err("<all-in> has no value".into())
            } else {
                Ok(Self::AllIn(values))
            };
        }
        if let Some(rest) = text.strip_prefix("<range-in>") {
            return range(rest);
        }
        for (operator, comparison) in TEXT {
            if let Some(rest) = text.strip_prefix(operator) {
                return Ok(Self::Text(comparison, one(rest)?));
            }
        }
        for (operator, comparison) in NUMBER {
            if let Some(rest) = text.strip_prefix(operator) {
                return Ok(Self::Number(comparison, number(&one(rest)?)?));
            }
        }
        if numeric { Ok(Self::Number(Equal, number(&text)?)) } else { Ok(Self::Text(Equal, text)) }
    }

    /// Every number that is compared with; a size must be above zero.
    pub(super) fn numbers(&self) -> Vec<f64> {
        match self {
            Self::Number(_, value) => vec![*value],
            Self::Range { low, high, .. } => vec![*low, *high],
            Self::AnyOf(values) => values.iter().filter_map(|value| value.parse().ok()).collect(),
            Self::Text(..) | Self::Contains(_) | Self::AllIn(_) => Vec::new(),
        }
    }

    /// Whether it says what a fact must not be.
    pub(super) fn negates(&self) -> bool {
        matches!(self, Self::Number(NotEqual, _) | Self::Text(NotEqual, _))
    }

    /// Whether a fact given as text answers the hint; an empty fact never does.
    pub(super) fn accepts_text(&self, fact: &str) -> bool {
        let fact = fact.trim().to_lowercase();
        if fact.is_empty() {
            return false;
        }
        match self {
            Self::Text(comparison, value) => comparison.holds(fact.as_str(), value.as_str()),
            Self::Contains(value) => fact.contains(value.as_str()),
            Self::AnyOf(values) => values.contains(&fact),
            Self::AllIn(values) => values.iter().all(|value| fact.contains(value.as_str())),
            Self::Number(..) | Self::Range { .. } => {
                fact.parse().is_ok_and(|number: f64| self.accepts_number(number))
            }
        }
    }

    /// Whether a fact given as a number answers the hint.
    pub(super) fn accepts_number(&self, fact: f64) -> bool {
        match self {
            Self::Number(comparison, value) => comparison.holds(&fact, value),
            Self::Range { low, low_open, high, high_open } => {
                (if *low_open { fact > *low } else { fact >= *low })
                    && (if *high_open { fact < *high } else { fact <= *high })
            }
            Self::AnyOf(values) => values.iter().any(|value| value.parse() == Ok(fact)),
            Self::Text(..) | Self::Contains(_) | Self::AllIn(_) => self.accepts_text(&fact.to_string()),
        }
    }
}

fn one(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("has an operator without a value".into()) } else { Ok(text.to_owned()) }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|value| value.is_finite())
        .ok_or_else(|| format!("'{text}' is not a number"))
}

/// `[ 1 10 ]`, round brackets for a bound that does not belong to the range.
fn range(text: &str) -> Result<Expression, String> {
    let wrong = || format!("<range-in> wants '[ low high ]', not '{}'", text.trim());
    let text_ = text.trim();
    let low_open = text_.starts_with('(');
    let high_open = text_.ends_with(')');
    let inner =
        text_.strip_prefix(['(', '[']).and_then(|rest| rest.strip_suffix([')', ']'])).ok_or_else(wrong)?;
    let bounds: Vec<&str> = inner.split_whitespace().collect();
    let [low, high] = bounds[..] else { return Err(wrong()) };
    Ok(Expression::Range { low: number(low)?, low_open, high: number(high)?, high_open })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(hint: &str, fact: &str) -> bool {
        Expression::parse(hint, false).unwrap().accepts_text(fact)
    }

    fn size(hint: &str, fact: f64) -> bool {
        Expression::parse(hint, true).unwrap().accepts_number(fact)
    }

    #[test]
    fn text_operators() {
        assert!(text("WD Blue", " wd blue "));
        assert!(text("s== abc", "ABC") && !text("s== abc", "abcd"));
        assert!(text("s!= abc", "abd") && !text("s!= abc", "abc"));
        assert!(text("s< b", "a") && !text("s< b", "b"));
        assert!(text("s<= b", "b") && !text("s<= b", "c"));
        assert!(text("s> b", "c") && !text("s> b", "b"));
        assert!(text("s>= b", "b") && !text("s>= b", "a"));
        assert!(text("<in> blue", "wd blue 2") && !text("<in> red", "wd blue"));
        assert!(text("<or> a b <or> c", "a b") && text("<or> a <or> c", "c") && !text("<or> a <or> c", "b"));
        assert!(text("<all-in> wd blue", "blue wd 1") && !text("<all-in> wd red", "blue wd"));
        assert!(!text("s!= abc", "") && !text("s!= abc", "  "));
    }

    #[test]
    fn number_operators() {
        assert!(size("10", 10.0) && !size("10", 10.5));
        assert!(size("= 10", 11.0) && size("=10", 10.0) && !size("= 10", 9.0));
        assert!(size("== 10", 10.0) && !size("== 10", 11.0));
        assert!(size("!= 10", 9.0) && !size("!= 10", 10.0));
        assert!(size("< 10", 9.9) && !size("< 10", 10.0));
        assert!(size("<= 10", 10.0) && !size("<= 10", 10.1));
        assert!(size("> 10", 10.1) && !size("> 10", 10.0));
        assert!(size(">= 10", 10.0) && !size(">= 10", 9.9));
        assert!(size("<or> 10 <or> 20", 20.0) && !size("<or> 10 <or> 20", 15.0));
        assert!(size("<range-in> [ 10 20 ]", 10.0) && size("<range-in> [ 10 20 ]", 20.0));
        assert!(!size("<range-in> ( 10 20 )", 10.0) && !size("<range-in> ( 10 20 )", 20.0));
        assert!(size("<range-in> (10 20]", 20.0));
        assert!(text(">= 100", "256") && !text(">= 100", "n/a"));
    }

    #[test]
    fn malformed_hints_are_refused() {
        for hint in [
            "",
            "  ",
            "<in>",
            "<or> a <or>",
            "s==",
            "> ten",
            "<range-in> 1 2",
            "<range-in> [ 1 ]",
            "<all-in> ",
        ] {
            assert!(Expression::parse(hint, false).is_err(), "{hint:?}");
        }
        assert!(Expression::parse("ten", true).is_err() && Expression::parse("NaN", true).is_err());
    }
}
