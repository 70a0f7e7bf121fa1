//! Moments, as people say them.

use std::time::{SystemTime, UNIX_EPOCH};

use maud::{Markup, html};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

const SHORT: &[BorrowedFormatItem<'_>] = format_description!("[day padding:none] [month repr:short] [year]");
const FULL: &[BorrowedFormatItem<'_>] =
    format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute]:[second] UTC");
const MACHINE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// How long ago, with the moment itself behind it.
pub(super) fn ago(moment_ms: i64, now_ms: i64) -> Markup {
    element(moment_ms, &relative(moment_ms, now_ms))
}

/// The moment itself, to the second.
pub(super) fn full(moment_ms: i64) -> Markup {
    element(moment_ms, &format(moment_ms, FULL))
}

fn element(moment_ms: i64, text: &str) -> Markup {
    html! { time datetime=(format(moment_ms, MACHINE)) title=(format(moment_ms, FULL)) { (text) } }
}

fn relative(moment_ms: i64, now_ms: i64) -> String {
    match now_ms.saturating_sub(moment_ms) {
        // Clocks of two machines differ a little: a moment just ahead is now.
        ..MINUTE_MS => "just now".to_owned(),
        age @ ..HOUR_MS => format!("{} min ago", age / MINUTE_MS),
        age @ ..DAY_MS => format!("{} h ago", age / HOUR_MS),
        age if age < 2 * DAY_MS => "yesterday".to_owned(),
        age if age < 7 * DAY_MS => format!("{} days ago", age / DAY_MS),
        _ => format(moment_ms, SHORT),
    }
}

/// A moment that no calendar has is shown as the number it is.
fn format(moment_ms: i64, form: &[BorrowedFormatItem<'_>]) -> String {
    OffsetDateTime::from_unix_timestamp(moment_ms.div_euclid(1000))
        .ok()
        .and_then(|moment| moment.format(form).ok())
        .unwrap_or_else(|| moment_ms.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_as_people_tell_it() {
        let now = 1_800_000_000_000;
        for (age, text) in [
            (-5_000, "just now"),
            (59_999, "just now"),
            (MINUTE_MS, "1 min ago"),
            (3 * HOUR_MS, "3 h ago"),
            (DAY_MS, "yesterday"),
            (6 * DAY_MS, "6 days ago"),
            (8 * DAY_MS, "7 Jan 2027"),
        ] {
            assert_eq!(relative(now - age, now), text);
        }
        assert_eq!(
            full(now).into_string(),
            "<time datetime=\"2027-01-15T08:00:00Z\" title=\"15 Jan 2027, 08:00:00 UTC\">15 Jan 2027, 08:00:00 UTC</time>"
        );
    }

    #[test]
    fn no_moment_is_too_odd_to_show() {
        for moment in [i64::MIN, -1, 0, i64::MAX] {
            assert!(ago(moment, 0).into_string().contains("</time>"));
        }
    }
}
