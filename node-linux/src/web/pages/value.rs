//! Values of fields, as people read them.

use maud::{Markup, html};
use serde_json::Value;
use url::Url;

/// Longest text in a list, in characters.
const SHORT_CHARS_MAX: usize = 80;

/// A value in full.
pub(super) fn full(value: &Value) -> Markup {
    match value {
        Value::String(text) => match web_address(text) {
            Some(address) => link(&address, text),
            None => html! { (text) },
        },
        value => html! { (plain(value)) },
    }
}

/// A value in a few words; `None` if it has none, or is a link.
pub(super) fn short(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if web_address(text).is_some() => None,
        Value::Null | Value::Array(_) => None,
        value => Some(shorten(&plain(value))).filter(|text| !text.is_empty()),
    }
}

/// An amount of money with its currency; `None` for any other value.
pub(super) fn money(value: &Value) -> Option<String> {
    let object = value.as_object().filter(|object| object.len() == 2)?;
    let amount = object.get("amount")?.as_str()?;
    let currency = object.get("currency")?.as_str()?;
    let amount = with_separators(amount);
    let sign = match currency {
        "EUR" => "€",
        "GBP" => "£",
        "USD" => "$",
        "JPY" => "¥",
        other => return Some(format!("{amount}\u{a0}{other}").trim().to_owned()),
    };
    Some(match amount.strip_prefix('-') {
        Some(amount) => format!("−{sign}{amount}"),
        None => format!("{sign}{amount}"),
    })
}

/// A link to a page elsewhere, if `text` is the address of one: never a script.
pub(super) fn source(text: &str) -> Markup {
    match web_address(text) {
        Some(address) => link(&address, text),
        None => html! { (text) },
    }
}

/// How much a file holds, in the unit that fits.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let (mut whole, mut tenths, mut unit) = (bytes, 0, "bytes");
    for next in UNITS {
        if whole < 1000 {
            break;
        }
        tenths = whole % 1000 / 100;
        whole /= 1000;
        unit = next;
    }
    if whole < 10 && tenths > 0 { format!("{whole}.{tenths} {unit}") } else { format!("{whole} {unit}") }
}

/// A count with its digits in groups.
pub(super) fn count(number: u64) -> String {
    with_separators(&number.to_string())
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        value => money(value).unwrap_or_else(|| value.to_string()),
    }
}

fn link(address: &Url, text: &str) -> Markup {
    html! { a.outward href=(address) rel="noopener noreferrer nofollow" { (text) } }
}

fn web_address(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|address| matches!(address.scheme(), "http" | "https"))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHORT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text).trim_end()),
        None => text.to_owned(),
    }
}

/// Groups the digits before the decimal point by three; a text that is no number stays as it is.
fn with_separators(number: &str) -> String {
    let (sign, unsigned) = number.strip_prefix('-').map_or(("", number), |unsigned| ("-", unsigned));
    let (whole, fraction) = unsigned.find('.').map_or((unsigned, ""), |point| unsigned.split_at(point));
    if whole.is_empty() || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return number.to_owned();
    }
    let mut grouped = String::from(sign);
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped.push_str(fraction);
    grouped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn money_is_shown_with_its_sign() {
        let shown = |amount: &str, currency: &str| money(&json!({"amount": amount, "currency": currency})).unwrap();
        assert_eq!(shown("1234567.50", "EUR"), "€1,234,567.50");
        assert_eq!(shown("-3.10", "USD"), "−$3.10");
        assert_eq!(shown("999", "CHF"), "999\u{a0}CHF");
        assert_eq!(shown("on request", "EUR"), "€on request");
        assert_eq!(money(&json!({"amount": 3, "currency": "EUR"})), None);
        assert_eq!(money(&json!("12.30 EUR")), None);
    }

    #[test]
    fn only_an_address_on_the_web_becomes_a_link() {
        for text in ["javascript:alert(1)", "data:text/html,x", "//evil", "plain", "JaVaScRiPt:alert(1)"] {
            assert!(!full(&json!(text)).into_string().contains("href"), "{text}");
            assert!(!source(text).into_string().contains("href"), "{text}");
        }
        assert!(
            full(&json!("https://example.org/a?b&c")).into_string().contains("href=\"https://example.org/a?b&amp;c\"")
        );
    }

    #[test]
    fn a_value_cannot_bring_markup() {
        let evil = json!("<script>alert(\"x\")</script>");
        assert!(!full(&evil).into_string().contains("<script"));
        assert!(!full(&json!({"<b>": ["<i>"]})).into_string().contains("<b>"));
    }

    #[test]
    fn sizes_and_counts_are_readable() {
        let shown: Vec<_> = [0, 999, 1_000, 1_550, 12_345, 67_108_864, u64::MAX].into_iter().map(size).collect();
        assert_eq!(shown, ["0 bytes", "999 bytes", "1 KB", "1.5 KB", "12 KB", "67 MB", "18446744 TB"]);
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = short(&json!("é".repeat(200))).unwrap();
        assert_eq!(text.chars().count(), SHORT_CHARS_MAX + 1);
    }
}
