//! Which of two firmware revisions comes after the other.

use std::cmp::Ordering;

/// Compares as people read: runs of digits as numbers, everything else letter by letter. Specifications give revisions
/// no order, so that this is a guess that errs on the side of refusing: what sorts before is taken for older.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.trim(), right.trim());
    loop {
        let ((number, rest), (other, other_rest)) = (digits(left), digits(right));
        if number.is_empty() || other.is_empty() {
            let (mut letters, mut others) = (left.chars(), right.chars());
            match (letters.next(), others.next()) {
                (None, None) => return Ordering::Equal,
                (letter, other) if letter == other => (left, right) = (letters.as_str(), others.as_str()),
                (letter, other) => return letter.cmp(&other),
            }
            continue;
        }
        let (number, other) = (number.trim_start_matches('0'), other.trim_start_matches('0'));
        match number.len().cmp(&other.len()).then_with(|| number.cmp(other)) {
            Ordering::Equal => (left, right) = (rest, other_rest),
            unequal => return unequal,
        }
    }
}

/// The number that the text begins with, and the rest.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_as_numbers() {
        let ascending = [
            ["1.9", "1.10"],
            ["GDC5602Q", "GDC5902Q"],
            ["2B2QEXM7", "2B2QEXM8"],
            ["E2MU200", "E2MU200A"],
            ["", "A"],
            ["009", "10"],
        ];
        for [older, newer] in ascending {
            assert_eq!(compare(older, newer), Ordering::Less, "{older} {newer}");
            assert_eq!(compare(newer, older), Ordering::Greater, "{older} {newer}");
        }
        assert_eq!(compare("1.02 ", "1.2"), Ordering::Equal);
    }
}
