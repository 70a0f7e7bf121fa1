//! Money as shops write it: `€ 1.234,50`, `1,234.50 USD`, `12.30 €`, `£5`, `CHF 12.–`.

use serde_json::{Value, json};

use super::decimal::{Decimal, ThreeDigits, find, is_negative};

/// ISO 4217's code for "no currency": the amount stood alone, or beside a sign that several currencies share.
const UNKNOWN: &str = "XXX";

/// The first sum of money in a text as `{"amount":"12.30","currency":"EUR"}`, with at least the digits after the point
/// that its currency has; else its first number, in the currency `XXX`. `$` alone is the US dollar, `¥` the yen.
///
/// A lone separator before exactly three digits groups thousands, unless the currency has three digits after the point.
pub(super) fn money(text: &str) -> Option<Value> {
    let numbers = find(text);
    let (number, currency) = numbers
        .iter()
        .find_map(|number| Some((number, currency(number.before, number.after)?)))
        .or_else(|| Some((numbers.first()?, UNKNOWN)))?;
    let minor = minor_digits(currency);
    let decimal = number.read(if minor == 3 { ThreeDigits::Decimal } else { ThreeDigits::Group })?;
    let (before, _) = strip_mark_behind(number.before);
    let negative = is_negative(before) || is_negative(number.before);
    let zero = decimal.whole == "0" && decimal.fraction.bytes().all(|digit| digit == b'0');
    let decimal = Decimal { negative: negative && !zero, fraction: fit(decimal.fraction, minor), ..decimal };
    Some(json!({ "amount": decimal.to_string(), "currency": currency }))
}

/// As many digits as the currency has; more only if they say something.
fn fit(mut fraction: String, minor: usize) -> String {
    while fraction.len() > minor && fraction.ends_with('0') {
        fraction.pop();
    }
    while fraction.len() < minor {
        fraction.push('0');
    }
    fraction
}

/// A code beside the number says more than a sign: `$5 CAD`.
fn currency(before: &str, after: &str) -> Option<&'static str> {
    let before = before.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '−'));
    let after = strip_dash(after).trim_start();
    code_behind(before)
        .or_else(|| code_ahead(after))
        .or_else(|| strip_mark_behind(before).1)
        .or_else(|| mark_ahead(after))
}

/// Prices without cents end in a dash in some places: `12,-` or `12.–`.
fn strip_dash(after: &str) -> &str {
    match after.strip_prefix(['.', ',']) {
        Some(rest) if rest.starts_with(['-', '–', '—']) => rest.trim_start_matches(['-', '–', '—']),
        _ => after,
    }
}

fn code_behind(before: &str) -> Option<&'static str> {
    let start = before.len().checked_sub(3)?;
    let code = CODES.iter().find(|code| before.get(start..) == Some(code))?;
    let apart = before.get(..start)?.chars().next_back().is_none_or(|c| !c.is_alphanumeric());
    apart.then_some(code)
}

fn code_ahead(after: &str) -> Option<&'static str> {
    let code = CODES.iter().find(|code| after.starts_with(**code))?;
    let apart = after.chars().nth(3).is_none_or(|c| !c.is_alphanumeric());
    apart.then_some(code)
}

fn strip_mark_behind(before: &str) -> (&str, Option<&'static str>) {
    let trimmed = before.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '−'));
    let hit = MARKS.iter().find_map(|(mark, code)| {
        let rest = trimmed.strip_suffix(mark)?;
        let word = mark.chars().next().is_some_and(char::is_alphabetic);
        (!word || rest.chars().next_back().is_none_or(|c| !c.is_alphanumeric())).then_some((rest, *code))
    });
    match hit {
        Some((rest, code)) => (rest, Some(code)),
        None => (before, None),
    }
}

fn mark_ahead(after: &str) -> Option<&'static str> {
    MARKS.iter().find_map(|(mark, code)| {
        let rest = after.strip_prefix(mark)?;
        let word = mark.chars().next_back().is_some_and(char::is_alphabetic);
        (!word || rest.chars().next().is_none_or(|c| !c.is_alphanumeric())).then_some(*code)
    })
}

/// Digits after the point in ISO 4217.
fn minor_digits(currency: &str) -> usize {
    match currency {
        "CLP" | "ISK" | "JPY" | "KRW" | "PYG" | "UGX" | "VND" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// Signs and words, longer ones before those they contain. `kr` is left out: three currencies share it.
const MARKS: &[(&str, &str)] = &[
    ("NZ$", "NZD"),
    ("HK$", "HKD"),
    ("NT$", "TWD"),
    ("US$", "USD"),
    ("CA$", "CAD"),
    ("AU$", "AUD"),
    ("MX$", "MXN"),
    ("A$", "AUD"),
    ("C$", "CAD"),
    ("R$", "BRL"),
    ("S$", "SGD"),
    ("$", "USD"),
    ("€", "EUR"),
    ("£", "GBP"),
    ("¥", "JPY"),
    ("₹", "INR"),
    ("₩", "KRW"),
    ("₽", "RUB"),
    ("₺", "TRY"),
    ("₴", "UAH"),
    ("₫", "VND"),
    ("₪", "ILS"),
    ("₦", "NGN"),
    ("₱", "PHP"),
    ("₸", "KZT"),
    ("฿", "THB"),
    ("zł", "PLN"),
    ("Kč", "CZK"),
    ("Ft", "HUF"),
    ("lei", "RON"),
    ("лв.", "BGN"),
    ("лв", "BGN"),
    ("Fr.", "CHF"),
    ("SFr.", "CHF"),
    ("euros", "EUR"),
    ("euro", "EUR"),
    ("Euro", "EUR"),
    ("eur", "EUR"),
    ("Eur", "EUR"),
];

/// ISO 4217, the codes in circulation.
const CODES: &[&str] = &[
    "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BHD", "BIF", "BMD",
    "BND", "BOB", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHF", "CLP", "CNY", "COP", "CRC", "CUP",
    "CVE", "CZK", "DJF", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS", "GIP",
    "GMD", "GNF", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR", "IQD", "IRR", "ISK", "JMD", "JOD",
    "JPY", "KES", "KGS", "KHR", "KMF", "KPW", "KRW", "KWD", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "LYD",
    "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MYR", "MZN", "NAD", "NGN",
    "NIO", "NOK", "NPR", "NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "PYG", "QAR", "RON", "RSD", "RUB",
    "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD", "SSP", "STN", "SYP", "SZL", "THB",
    "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "UGX", "USD", "UYU", "UZS", "VES", "VND", "VUV",
    "WST", "XAF", "XCD", "XOF", "XPF", "YER", "ZAR", "ZMW", "ZWG",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read_whatever_the_place_it_comes_from() {
        let cases = [
            ("€ 1.234,50", "1234.50", "EUR"),
            ("1,234.50 USD", "1234.50", "USD"),
            ("12.30 €", "12.30", "EUR"),
            ("£5", "5.00", "GBP"),
            ("€1.234", "1234.00", "EUR"),
            ("$1,234", "1234.00", "USD"),
            ("KWD 1.234", "1.234", "KWD"),
            ("1 234,50\u{a0}€", "1234.50", "EUR"),
            ("CHF 1'234.50", "1234.50", "CHF"),
            ("Fr. 12.–", "12.00", "CHF"),
            ("12,- €", "12.00", "EUR"),
            ("₹12,34,567.00", "1234567.00", "INR"),
            ("¥1,200", "1200", "JPY"),
            ("¥ 980", "980", "JPY"),
            ("-€5.00", "-5.00", "EUR"),
            ("€ -5", "-5.00", "EUR"),
            ("- 5,20 EUR", "-5.20", "EUR"),
            ("-€0.00", "0.00", "EUR"),
            ("Price: US$ 9.99 incl. VAT", "9.99", "USD"),
            ("$5 CAD", "5.00", "CAD"),
            ("2 for €5", "5.00", "EUR"),
            ("Was £12.00 Now £9.00", "12.00", "GBP"),
            ("€5 – €8", "5.00", "EUR"),
            ("All 7 for 12.30 EUR", "12.30", "EUR"),
            ("129,00 zł", "129.00", "PLN"),
            ("1 299 Kč", "1299.00", "CZK"),
            ("199 kr", "199.00", "XXX"),
            ("12.30", "12.30", "XXX"),
            ("EUR 0,1234", "0.1234", "EUR"),
            ("19.9900 EUR", "19.99", "EUR"),
            ("5 euros", "5.00", "EUR"),
            ("5 Euromillions", "5.00", "XXX"),
        ];
        for (text, amount, currency) in cases {
            assert_eq!(money(text), Some(json!({ "amount": amount, "currency": currency })), "{text:?}");
        }
        for text in ["", "free", "€", "call us", "1.2.3 €"] {
            assert_eq!(money(text), None, "{text:?}");
        }
    }
}
