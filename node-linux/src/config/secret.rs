//! Values that nobody reads over a shoulder.

use serde::{Deserialize, Serialize, Serializer};

/// A value that logs and error messages never show. Serialised, it is replaced by a placeholder.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Name of the type in serde's data model, by which the reader of the configuration knows what not to quote.
    pub(super) const TYPE_NAME: &str = "Secret";

    /// What is shown in its place.
    const PLACEHOLDER: &str = "[secret]";

    /// The value itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Self::PLACEHOLDER)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { Self::PLACEHOLDER })
    }
}
