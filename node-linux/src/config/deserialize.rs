//! From a tree to types, with errors that know the key and who set it.

use std::{collections::btree_map, fmt, vec};

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error as _, Expected, IntoDeserializer as _, MapAccess, SeqAccess,
        Unexpected, Visitor, value::StringDeserializer,
    },
    forward_to_deserialize_any,
};
use toml::de::DeValue;

use super::{
    Secret,
    error::Problem,
    origin::Origin,
    path::{Path, Segment},
    tree::{Entry, Node, Table, Value},
};

/// Gives types to `root`.
///
/// # Errors
/// The first value that does not fit, or the first unknown key.
pub(super) fn from_table<T: DeserializeOwned>(root: Table) -> Result<T, ValueError> {
    let root = Node { value: Value::Table(root), origin: Origin::Default };
    T::deserialize(root)
}

/// Why a value does not fit.
#[derive(Debug)]
pub(super) struct ValueError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    message: String,
    path: Path,
    origin: Option<Origin>,
    known_keys: Option<&'static [&'static str]>,
}

impl ValueError {
    /// If the trouble is a key that does not exist: those that do.
    pub(super) fn known_keys(&self) -> Option<&'static [&'static str]> {
        self.0.known_keys
    }

    fn at(mut self, origin: &Origin) -> Self {
        self.0.origin.get_or_insert_with(|| origin.clone());
        self
    }

    fn within(mut self, outer: Segment) -> Self {
        self.0.path.prepend(outer);
        self
    }
}

impl From<ValueError> for Problem {
    fn from(ValueError(inner): ValueError) -> Self {
        let origin = inner.origin.unwrap_or(Origin::Default);
        let origin = if inner.known_keys.is_some() { origin.hiding_what_follows() } else { origin };
        Self { path: inner.path, message: inner.message, origin }
    }
}

impl std::error::Error for ValueError {}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.path, self.0.message)
    }
}

impl serde::de::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let mut message = message.to_string();
        // The standard library's words leave open what it wants, and that a host's name will not do.
        if message == "invalid socket address syntax" {
            message = "expected an IP address and a port, such as 0.0.0.0:8080 or [::1]:8080".into();
        }
        Self(Box::new(Inner { message, path: Path::default(), origin: None, known_keys: None }))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match unexpected {
            Unexpected::Seq => "a list".into(),
            Unexpected::Map => "a table".into(),
            other => other.to_string(),
        };
        Self::custom(format!("expected {}, found {found}", plain(expected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format!("expected {}, found \"{variant}\"", alternatives(expected)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let advice = match nearest(field, expected) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the keys are {}", expected.join(", ")),
        };
        let mut error = Self::custom(format!("unknown key; {advice}"));
        error.0.known_keys = Some(expected);
        error
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format!("key `{field}` is missing"))
    }
}

/// The known name that was probably meant.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase().replace('-', "_");
    let (distance, near) = known.iter().map(|near| (strsim::damerau_levenshtein(&name, near), *near)).min()?;
    (distance <= near.len().max(name.len()) / 3).then_some(near)
}

/// `"a", "b" or "c"`.
fn alternatives(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Rust's names of types in plain words.
fn plain(expected: &dyn Expected) -> String {
    let name = expected.to_string();
    match name.as_str() {
        "u8" => "a whole number from 0 to 255".into(),
        "u16" => "a whole number from 0 to 65535".into(),
        "u32" | "u64" | "usize" => "a whole number, 0 or more".into(),
        "a sequence" => r#"a list such as ["a", "b"]"#.into(),
        "a string" | "path string" => "text".into(),
        "a boolean" => "true or false".into(),
        "a map" => "a table".into(),
        _ if name.starts_with("struct ") => "a table".into(),
        _ => name,
    }
}

impl Node {
    /// What the text of a variable or flag says in TOML, for a key that wants no text; the text itself if it is no TOML.
    fn parsed(self) -> Self {
        match &self.value {
            Value::Text(text) => match DeValue::parse(text.trim()) {
                Ok(value) => Self::from_text(value, &self.origin),
                Err(_) => self,
            },
            _ => self,
        }
    }
}

impl Value {
    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Value::Text(text) | Value::String(text) => Unexpected::Str(text),
            Value::Unset => Unexpected::Unit,
            Value::Integer(integer) => {
                i64::try_from(*integer).map_or(Unexpected::Other("a number too large"), Unexpected::Signed)
            }
            Value::Float(float) => Unexpected::Float(*float),
            Value::Boolean(boolean) => Unexpected::Bool(*boolean),
            Value::Datetime => Unexpected::Other("a date or time"),
            Value::Array(_) => Unexpected::Other("a list"),
            Value::Table(_) => Unexpected::Other("a table"),
        }
    }
}

macro_rules! deserialize_parsed {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            self.parsed().deserialize_any(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Node {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let Self { value, origin } = self;
        match value {
            Value::Text(text) | Value::String(text) => visitor.visit_string(text),
            Value::Integer(integer) => match (i64::try_from(integer), u64::try_from(integer)) {
                (Ok(integer), _) => visitor.visit_i64(integer),
                (_, Ok(integer)) => visitor.visit_u64(integer),
                _ => Err(ValueError::invalid_type(value.unexpected(), &visitor)),
            },
            Value::Float(float) => visitor.visit_f64(float),
            Value::Boolean(boolean) => visitor.visit_bool(boolean),
            Value::Unset | Value::Datetime => Err(ValueError::invalid_type(value.unexpected(), &visitor)),
            Value::Array(nodes) => visitor.visit_seq(Elements { nodes: nodes.into_iter(), index: 0 }),
            Value::Table(table) => visitor.visit_map(Entries { entries: table.into_iter(), value: None }),
        }
        .map_err(|error| error.at(&origin))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &str, visitor: V) -> Result<V::Value, ValueError> {
        if name != Secret::TYPE_NAME || matches!(self.value, Value::Text(_) | Value::String(_)) {
            return visitor.visit_newtype_struct(self);
        }
        // The number in `password = 1234` is no text, but it is a secret all the same.
        Err(ValueError::custom("expected text in quotes").at(&self.origin.hiding_value()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &str,
        _variants: &[&str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self.value {
            Value::Text(text) | Value::String(text) => {
                let name: StringDeserializer<ValueError> = text.into_deserializer();
                visitor.visit_enum(name).map_err(|error| error.at(&self.origin))
            }
            _ => Err(ValueError::invalid_type(self.value.unexpected(), &"text").at(&self.origin)),
        }
    }

    deserialize_parsed! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_unit deserialize_seq deserialize_map deserialize_ignored_any
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &str,
        _fields: &[&str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        let node = self.parsed();
        match &node.value {
            Value::Table(_) => node.deserialize_any(visitor),
            // Left to itself, serde would take a list for a struct.
            _ => Err(ValueError::invalid_type(node.value.unexpected(), &visitor).at(&node.origin)),
        }
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit_struct tuple tuple_struct identifier
    }
}

/// The elements of a list.
struct Elements {
    nodes: vec::IntoIter<Node>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Elements {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ValueError> {
        let Some(node) = self.nodes.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(node).map(Some).map_err(|error| error.within(Segment::Index(index)))
    }
}

/// The entries of a table.
struct Entries {
    entries: btree_map::IntoIter<String, Entry>,
    value: Option<(String, Node)>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        let Some((key, entry)) = self.entries.next() else { return Ok(None) };
        let name: StringDeserializer<ValueError> = key.clone().into_deserializer();
        let result = seed.deserialize(name).map(Some);
        let result = result.map_err(|error| error.at(&entry.key).within(Segment::Key(key.clone())));
        self.value = Some((key, entry.node));
        result
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ValueError> {
        let Some((key, node)) = self.value.take() else { return Err(ValueError::custom("a value without a key")) };
        seed.deserialize(node).map_err(|error| error.within(Segment::Key(key)))
    }
}
