//! Pages: a cursor names the last row of the page before, so that rows stored meanwhile neither shift nor repeat any.

use super::{DatabaseError, Page};

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;

/// Position in a list ordered by time and then key, latest first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) stored_at_ms: i64,
    pub(super) key: String,
}

impl Cursor {
    /// Reads what [`Cursor::encode`] wrote for the same list.
    ///
    /// # Errors
    /// [`DatabaseError::Invalid`] for anything else.
    pub(super) fn decode(list: &str, text: &str) -> Result<Self, DatabaseError> {
        Self::parse(list, text)
            .filter(|cursor| cursor.encode(list) == text)
            .ok_or_else(|| DatabaseError::Invalid("not a cursor of this list".into()))
    }

    fn parse(list: &str, text: &str) -> Option<Self> {
        let text = String::from_utf8(hex::decode(text).ok()?).ok()?;
        let (stored_at_ms, key) = text.strip_prefix(list)?.strip_prefix('.')?.split_once('.')?;
        Some(Self { stored_at_ms: stored_at_ms.parse().ok()?, key: key.into() })
    }

    pub(super) fn encode(&self, list: &str) -> String {
        hex::encode(format!("{list}.{}.{}", self.stored_at_ms, self.key))
    }
}

/// Rows a page.
///
/// # Errors
/// [`DatabaseError::Invalid`] outside 1 to 200.
pub(super) fn limit(limit: Option<u32>) -> Result<u32, DatabaseError> {
    match limit.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        limit => Err(DatabaseError::Invalid(format!("limit {limit} is not 1 to {LIMIT_MAX}"))),
    }
}

/// Makes a page of rows that were fetched with one more than the limit, to see whether there are more.
pub(super) fn page<T>(list: &str, mut rows: Vec<T>, limit: u32, position: impl Fn(&T) -> Cursor) -> Page<T> {
    let limit = limit as usize;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|last| position(last).encode(list));
    Page { rows, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cursor_of_the_same_list_is_taken() {
        let cursor = Cursor { stored_at_ms: 1_763_000_000_000, key: "a.b".into() };
        let text = cursor.encode("items");
        assert_eq!(Cursor::decode("items", &text).unwrap(), cursor);
        let forged = hex::encode("items.+5.x");
        for text in ["", "zz", "00", "ff", &text.to_uppercase(), &text[1..], &forged, &hex::encode("items.5")] {
            assert!(Cursor::decode("items", text).is_err(), "{text}");
        }
        assert!(Cursor::decode("files", &text).is_err());
    }
}
