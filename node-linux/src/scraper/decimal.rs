//! Decimal numbers as people write them: `1,234.50`, `1.234,50`, `1 234,50`, `1'234.50`, `12,34,567.00`.

use serde_json::{Number, Value};

/// A number without the habits of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    pub(super) negative: bool,
    /// Digits, at least one, no zeros in front.
    pub(super) whole: String,
    /// Digits, perhaps none.
    pub(super) fraction: String,
}

/// Where a text has a number, with what stands around it.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) before: &'a str,
    pub(super) after: &'a str,
    /// Digits with their separators; white space and apostrophes have become spaces.
    digits: String,
}

/// What `1.234` means, where nothing else tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThreeDigits {
    /// A comma groups, a point is decimal.
    CommaGroups,
    /// Either groups, as in sums of money.
    Group,
    /// Neither groups, as in currencies of a thousand parts.
    Decimal,
}

/// The first number in a text, as JSON: an integer where it is one.
///
/// A lone comma before exactly three digits groups thousands, a lone point is decimal: `1,234` is 1234 and `1.234` is
/// 1.234.
pub(super) fn number(text: &str) -> Option<Value> {
    let (found, decimal) =
        find(text).into_iter().find_map(|found| Some((found.before, found.read(ThreeDigits::CommaGroups)?)))?;
    let decimal = Decimal { negative: is_negative(found), ..decimal };
    let text = decimal.to_string();
    if decimal.fraction.bytes().all(|digit| digit == b'0')
        && let Ok(integer) = text.split('.').next()?.parse::<i64>()
    {
        return Some(Value::Number(integer.into()));
    }
    Number::from_f64(text.parse().ok()?).map(Value::Number)
}

/// Whether the text before a number ends in a minus sign of its own, not in the hyphen of `A-5` or `3-5`.
pub(super) fn is_negative(before: &str) -> bool {
    let mut backwards = before.chars().rev().skip_while(|c| c.is_whitespace());
    matches!(backwards.next(), Some('-' | '−')) && !backwards.next().is_some_and(char::is_alphanumeric)
}

/// All numbers in a text, from left to right.
pub(super) fn find(text: &str) -> Vec<Found<'_>> {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let at = |index: usize| chars.get(index).map(|&(_, c)| c);
    let offset = |index: usize| chars.get(index).map_or(text.len(), |&(offset, _)| offset);
    let run = |index: usize| chars.iter().skip(index).take_while(|(_, c)| c.is_ascii_digit()).count();
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(c) = at(index) {
        let bare_fraction = matches!(c, '.' | ',') && run(index + 1) > 0;
        if !c.is_ascii_digit() && !bare_fraction {
            index += 1;
            continue;
        }
        let start = index;
        let mut digits = String::new();
        loop {
            let length = run(index);
            digits.extend(chars.iter().skip(index).take(length).map(|&(_, c)| c));
            index += length;
            match at(index) {
                Some(c @ ('.' | ',')) if run(index + 1) > 0 => digits.push(c),
                Some(c) if is_gap(c) && length <= 3 && run(index + 1) == 3 && !digits.contains(['.', ',']) => {
                    digits.push(' ');
                }
                _ => break,
            }
            index += 1;
        }
        let before = text.get(..offset(start)).unwrap_or_default();
        let after = text.get(offset(index)..).unwrap_or_default();
        found.push(Found { before, after, digits });
    }
    found
}

impl Found<'_> {
    /// The number, without its sign; none if its separators make no sense (dates, versions, addresses).
    pub(super) fn read(&self, three_digits: ThreeDigits) -> Option<Decimal> {
        let digits = self.digits.as_str();
        let last = digits.rfind(['.', ',']);
        let decimal_at = last.filter(|&at| {
            let (whole, rest) = digits.split_at(at);
            let comma = rest.starts_with(',');
            let alone = !whole.contains(if comma { ',' } else { '.' });
            let ambiguous = rest.len() == 4
                && (1..=3).contains(&whole.len())
                && !whole.starts_with('0')
                && whole.bytes().all(|byte| byte.is_ascii_digit());
            let groups = match three_digits {
                ThreeDigits::CommaGroups => comma,
                ThreeDigits::Group => true,
                ThreeDigits::Decimal => false,
            };
            alone && !(ambiguous && groups)
        });
        let (whole, fraction) = match decimal_at {
            Some(at) => (digits.get(..at)?, digits.get(at + 1..)?),
            None => (digits, ""),
        };
        let whole = ungroup(whole)?;
        let trimmed = whole.trim_start_matches('0');
        let whole = if trimmed.is_empty() { "0" } else { trimmed };
        Some(Decimal { negative: false, whole: whole.to_owned(), fraction: fraction.to_owned() })
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        write!(f, "{sign}{}", self.whole)?;
        if !self.fraction.is_empty() {
            write!(f, ".{}", self.fraction)?;
        }
        Ok(())
    }
}

fn is_gap(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}' | '\'' | '’')
}

/// Takes out one kind of separator, if it stands where thousands (or lakhs) end.
fn ungroup(whole: &str) -> Option<String> {
    let Some(separator) = whole.chars().find(|c| !c.is_ascii_digit()) else { return Some(whole.to_owned()) };
    let groups: Vec<&str> = whole.split(separator).collect();
    let (first, rest) = groups.split_first()?;
    let (last, middle) = rest.split_last()?;
    let thousands = middle.iter().all(|group| group.len() == 3);
    let lakhs = middle.iter().all(|group| group.len() == 2) && first.len() <= 2;
    let digits = groups.concat();
    let sound = (1..=3).contains(&first.len())
        && last.len() == 3
        && (thousands || lakhs)
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    sound.then_some(digits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_whatever_the_place_they_come_from() {
        let cases = [
            ("4.6 out of 5", json!(4.6)),
            ("4,6", json!(4.6)),
            ("(128 reviews)", json!(128)),
            ("1,234", json!(1234)),
            ("1.234", json!(1.234)),
            ("0,125 kg", json!(0.125)),
            ("1,234,567", json!(1_234_567)),
            ("1.234.567", json!(1_234_567)),
            ("1.234,5", json!(1234.5)),
            ("1,234.5", json!(1234.5)),
            ("1 234,5", json!(1234.5)),
            ("1\u{202f}234\u{202f}567", json!(1_234_567)),
            ("1'234.50", json!(1234.5)),
            ("12,34,567.00", json!(1_234_567)),
            ("12 3456", json!(12)),
            ("1234.567", json!(1234.567)),
            ("1234,567", json!(1234.567)),
            (".5", json!(0.5)),
            ("-5", json!(-5)),
            ("− 5.5", json!(-5.5)),
            ("A-5", json!(5)),
            ("3-5", json!(3)),
            ("5.0", json!(5)),
            ("007", json!(7)),
            ("45%", json!(45)),
            ("1.2.3 then 7", json!(7)),
            ("12 items.", json!(12)),
            ("12,-", json!(12)),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text), Some(expected), "{text:?}");
        }
        for text in ["", "none", "-", ".", "1.2.3", "23.11.2026", "1,23,4", "٣"] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_number_too_large_for_any_type_is_no_number() {
        assert_eq!(number(&"9".repeat(400)), None);
        assert_eq!(number(&"9".repeat(30)), Some(json!(1e30)));
    }
}
