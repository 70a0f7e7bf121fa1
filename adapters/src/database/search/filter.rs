//! What a search asks for, and which of it an index knows.

use super::super::{DatabaseError, ItemQuery, value};

/// Words of one search at most: each is one more look at every text.
const WORDS_MAX: usize = 16;

/// Longest search and filter value, in bytes.
const TERM_LEN_MAX: usize = 512;

/// Letters of the shortest text that the index of texts knows.
const INDEXED_LEN_MIN: usize = 3;

/// Digits up to which a number is written alike by everybody.
const NUMBER_LEN_MAX: usize = 15;

/// What the items of a list must have; what was left empty, as forms send it, is nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// All of these in their texts, in lower case.
    pub(super) words: Vec<String>,
    pub(super) site: Option<String>,
    pub(super) field: Option<String>,
    pub(super) value: Option<String>,
}

impl Filter {
    /// # Errors
    /// [`DatabaseError::Invalid`] for too much, and for a value without the field it is of.
    pub(super) fn new(query: &ItemQuery) -> Result<Self, DatabaseError> {
        let filter = Self {
            words: words(query.search.as_deref())?,
            site: term("site", query.site.as_deref())?,
            field: term("field", query.field.as_deref())?,
            value: term("value", query.value.as_deref())?,
        };
        match (&filter.field, &filter.value) {
            (None, Some(_)) => Err(DatabaseError::Invalid("a value without the field it is of".into())),
            _ => Ok(filter),
        }
    }

    /// Whether anything but the site narrows the list.
    pub(super) fn narrows(&self) -> bool {
        !self.words.is_empty() || self.field.is_some()
    }

    /// Texts that an item must have in its own to pass, of those the index knows.
    pub(super) fn indexed_texts(&self) -> impl Iterator<Item = String> {
        // A field's value is part of the text, unless it is written differently there.
        let value = self.value.as_deref().filter(|value| is_written_alike(value)).map(str::to_lowercase);
        self.words.iter().cloned().chain(value).filter(|text| is_indexed(text))
    }

    /// Whether an index knows any of it.
    pub(super) fn is_indexed(&self) -> bool {
        self.field.is_some() || self.indexed_texts().next().is_some()
    }
}

/// Whether the index of texts knows it.
pub(super) fn is_indexed(text: &str) -> bool {
    text.chars().count() >= INDEXED_LEN_MIN
}

fn is_written_alike(value: &str) -> bool {
    let is_number = value.parse::<f64>().is_ok();
    let is_plain = value.len() <= NUMBER_LEN_MAX && !value.contains(['e', 'E']);
    !value.starts_with(['[', '{']) && (!is_number || is_plain)
}

fn term(what: &str, term: Option<&str>) -> Result<Option<String>, DatabaseError> {
    match term {
        None | Some("") => Ok(None),
        Some(term) if term.len() <= TERM_LEN_MAX => Ok(Some(value::text(term))),
        Some(_) => Err(DatabaseError::Invalid(format!("{what} has more than {TERM_LEN_MAX} bytes"))),
    }
}

fn words(search: Option<&str>) -> Result<Vec<String>, DatabaseError> {
    let search = term("search", search)?.unwrap_or_default().to_lowercase();
    let words: Vec<_> = search.split_whitespace().map(str::to_owned).collect();
    if words.len() > WORDS_MAX {
        return Err(DatabaseError::Invalid(format!("search has more than {WORDS_MAX} words")));
    }
    Ok(words)
}

/// A pattern of `LIKE` for a text anywhere, which has no other wildcards.
pub(super) fn like_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for char in text.chars() {
        if matches!(char, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_asked_for_what_it_knows_and_no_more() {
        let indexed = |search: &str, field: &str, value: &str| -> Vec<String> {
            let some = |text: &str| Some(text.to_owned());
            let query =
                ItemQuery { search: some(search), field: some(field), value: some(value), ..ItemQuery::default() };
            Filter::new(&query).unwrap().indexed_texts().collect()
        };
        assert_eq!(indexed("Ab äÖü abcd", "", ""), ["äöü", "abcd"]);
        assert_eq!(indexed("", "price", "12.30"), ["12.30"]);
        assert_eq!(indexed("", "name", "Lamp"), ["lamp"]);
        for written_differently in ["[1, 2]", "{\"a\": 1}", "1e21", "1000000000000000000000"] {
            assert_eq!(indexed("", "x", written_differently), [""; 0], "{written_differently}");
        }
    }
}
