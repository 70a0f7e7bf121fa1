//! The item: what the scraper finds, the broker carries and the database keeps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One thing found on a site, with the fields its configuration asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Stable across runs: the same thing on the same site always has the same id (lower-case hexadecimal).
    pub id: String,
    /// Name of the site, as configured.
    pub site: String,
    /// Page the item was found on.
    pub url: String,
    /// What a person would call it.
    pub title: String,
    /// Configured fields: text as a JSON string, number as a JSON number, money as
    /// `{"amount":"12.30","currency":"EUR"}`, URL as an absolute JSON string.
    pub fields: BTreeMap<String, Value>,
    /// Milliseconds since the Unix epoch.
    pub scraped_at_ms: i64,
}

impl Item {
    /// Media type of an item in a message. This is version 1, in which further members are ignored; a version that means
    /// something else by the same members has a media type of its own, `application/vnd.symphony.item.v2+json`.
    pub const CONTENT_TYPE: &str = "application/vnd.symphony.item+json";

    /// Reads the body of a message.
    ///
    /// # Errors
    /// What is wrong with it, for the dead-letter queue.
    pub fn from_message(content_type: &str, body: &[u8]) -> Result<Self, String> {
        if let Some(version) = later_version(content_type) {
            return Err(format!("an item of version {version}: this program reads version 1"));
        }
        if content_type != Self::CONTENT_TYPE {
            return Err(format!("content type {content_type} is not {}", Self::CONTENT_TYPE));
        }
        serde_json::from_slice(body).map_err(|error| format!("not an item: {error}"))
    }

    /// The body of a message.
    ///
    /// # Errors
    /// None that an item can cause: its keys are strings and its numbers are finite.
    pub fn to_message(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }
}

/// The version that a media type names.
fn later_version(content_type: &str) -> Option<u32> {
    content_type.strip_prefix("application/vnd.symphony.item.v")?.strip_suffix("+json")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_of_a_later_version_is_not_read_as_one_of_this() {
        let body = br#"{"id":"a","site":"s","url":"u","title":"t","fields":{},"scraped_at_ms":1,"more":true}"#;
        assert_eq!(Item::from_message(Item::CONTENT_TYPE, body).unwrap().id, "a");
        let later = Item::from_message("application/vnd.symphony.item.v2+json", body).unwrap_err();
        assert!(later.contains("version 2"), "{later}");
        let other = Item::from_message("application/vnd.symphony.item.vx+json", body).unwrap_err();
        assert!(other.contains("content type"), "{other}");
    }
}
