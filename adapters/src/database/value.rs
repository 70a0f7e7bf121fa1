//! Values on their way into the database and back: what both databases can hold.

use serde::Serialize;
use serde_json::Value;

use super::DatabaseError;

/// Longest key, in bytes. PostgreSQL's index entries end at about 2,700 bytes, and one holds two keys.
const KEY_LEN_MAX: usize = 512;

/// Longest path of a file, in bytes.
const PATH_LEN_MAX: usize = 2048;

/// PostgreSQL's text cannot hold U+0000; the replacement character stands in for it.
const NUL_STAND_IN: &str = "\u{fffd}";

/// Text as both databases can hold it.
pub(super) fn text(text: &str) -> String {
    text.replace('\0', NUL_STAND_IN)
}

/// Checks that a key is fit for an index.
///
/// # Errors
/// [`DatabaseError::Invalid`].
pub(super) fn check_key(what: &str, key: &str) -> Result<(), DatabaseError> {
    check_len(what, key, KEY_LEN_MAX)
}

/// Checks that a path is fit for an index.
///
/// # Errors
/// [`DatabaseError::Invalid`].
pub(super) fn check_path(path: &str) -> Result<(), DatabaseError> {
    check_len("path", path, PATH_LEN_MAX)
}

fn check_len(what: &str, text: &str, len_max: usize) -> Result<(), DatabaseError> {
    match text.len() {
        0 => Err(DatabaseError::Invalid(format!("{what} is empty"))),
        len if len > len_max => Err(DatabaseError::Invalid(format!("{what} has {len} bytes, more than {len_max}"))),
        _ => Ok(()),
    }
}

/// A whole batch as one JSON array, the one parameter of its statement.
///
/// # Errors
/// [`DatabaseError::Invalid`] for values JSON cannot hold.
pub(super) fn rows<T: Serialize>(rows: &[T]) -> Result<String, DatabaseError> {
    let invalid = |error: serde_json::Error| DatabaseError::Invalid(error.to_string());
    let json = serde_json::to_string(rows).map_err(invalid)?;
    if !json.contains(r"\u0000") {
        return Ok(json);
    }
    let mut value = serde_json::from_str(&json).map_err(invalid)?;
    replace_nul(&mut value);
    Ok(value.to_string())
}

fn replace_nul(value: &mut Value) {
    match value {
        Value::String(string) => *string = text(string),
        Value::Array(values) => values.iter_mut().for_each(replace_nul),
        Value::Object(map) => {
            *map = std::mem::take(map)
                .into_iter()
                .map(|(key, mut value)| {
                    replace_nul(&mut value);
                    (text(&key), value)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A number as the database holds it.
///
/// # Errors
/// [`DatabaseError::Invalid`] above `i64::MAX`.
pub(super) fn integer(number: u64) -> Result<i64, DatabaseError> {
    i64::try_from(number).map_err(|_| DatabaseError::Invalid(format!("{number} is too large")))
}

/// A number from the database.
///
/// # Errors
/// [`DatabaseError::Unavailable`] if somebody else has put nonsense there.
pub(super) fn unsigned<T: TryFrom<i64>>(number: i64) -> Result<T, DatabaseError> {
    T::try_from(number).map_err(|_| DatabaseError::Unavailable(format!("stored number {number} is out of range")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nul_is_replaced_wherever_it_is_and_nothing_else() {
        let json = rows(&[json!({"a\0b": ["c\0", {"d": "\0e"}], "f": r"\u0000", "g": 1.5})]).unwrap();
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value, json!([{"a\u{fffd}b": ["c\u{fffd}", {"d": "\u{fffd}e"}], "f": r"\u0000", "g": 1.5}]));
    }

    #[test]
    fn keys_have_bounds() {
        assert!(check_key("id", "").is_err());
        assert!(check_key("id", &"x".repeat(KEY_LEN_MAX)).is_ok());
        assert!(check_key("id", &"x".repeat(KEY_LEN_MAX + 1)).is_err());
    }
}
