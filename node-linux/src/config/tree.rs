//! A configuration before it has types: every value knows who set it.

use std::{collections::BTreeMap, sync::Arc};

use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use super::{
    origin::{Origin, Place, Source},
    path::{Path, Segment},
};

/// A value and who set it.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// What was set.
    pub(super) value: Value,
    /// By whom.
    pub(super) origin: Origin,
}

/// A value without a type yet.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Text from a variable, a flag or a file of its own: it becomes what its key wants.
    Text(String),
    /// Nothing: the default, whatever weaker layers say.
    Unset,
    /// A TOML string.
    String(String),
    /// A TOML integer; one beyond this type's range stands as its maximum.
    Integer(i128),
    /// A TOML float.
    Float(f64),
    /// A TOML boolean.
    Boolean(bool),
    /// Any of TOML's dates and times: no key takes one.
    Datetime,
    /// A list.
    Array(Vec<Node>),
    /// Keys and values.
    Table(Table),
}

/// Keys and values in the order of the keys.
pub(super) type Table = BTreeMap<String, Entry>;

/// What stands under a key.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The key itself.
    pub(super) key: Origin,
    /// What it is set to.
    pub(super) node: Node,
}

impl Entry {
    /// A value whose key has the same origin.
    pub(super) fn new(origin: Origin, value: Value) -> Self {
        Self { key: origin.clone(), node: Node { value, origin } }
    }
}

impl Node {
    /// A value written in TOML somewhere else; every part of it has the same origin.
    pub(super) fn from_text(value: Spanned<DeValue<'_>>, origin: &Origin) -> Self {
        Self::from_toml(value, &|_| origin.clone())
    }

    fn from_toml(value: Spanned<DeValue<'_>>, origin: &dyn Fn(std::ops::Range<usize>) -> Origin) -> Self {
        let span = value.span();
        let value = match value.into_inner() {
            DeValue::String(text) => Value::String(text.into_owned()),
            DeValue::Integer(integer) => Value::Integer(to_i128(&integer)),
            DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(boolean) => Value::Boolean(boolean),
            DeValue::Datetime(_) => Value::Datetime,
            DeValue::Array(values) => {
                Value::Array(values.into_iter().map(|value| Self::from_toml(value, origin)).collect())
            }
            DeValue::Table(table) => Value::Table(to_table(table, origin)),
        };
        Self { value, origin: origin(span) }
    }
}

/// The tables of a file.
pub(super) fn from_file(document: DeTable<'_>, source: &Arc<Source>) -> Table {
    to_table(document, &|span| Origin::File(Place::new(source, Some(span))))
}

/// Sets `section.key` in a layer.
pub(super) fn set(layer: &mut Table, section: &str, key: &str, entry: Entry) {
    let section =
        layer.entry(section.to_owned()).or_insert_with(|| Entry::new(entry.key.clone(), Value::Table(Table::new())));
    if let Value::Table(table) = &mut section.node.value {
        table.insert(key.to_owned(), entry);
    }
}

/// Lays `stronger` over `weaker`, key by key of each section.
pub(super) fn merge(weaker: &mut Table, stronger: Table) {
    for (section, entry) in stronger {
        let Value::Table(keys) = entry.node.value else {
            weaker.insert(section, entry);
            continue;
        };
        let below = weaker.entry(section).or_insert_with(|| Entry {
            key: entry.key,
            node: Node { value: Value::Table(Table::new()), ..entry.node },
        });
        let Value::Table(below) = &mut below.node.value else { continue };
        for (key, entry) in keys {
            if matches!(entry.node.value, Value::Unset) {
                below.remove(&key);
            } else {
                below.insert(key, entry);
            }
        }
    }
}

/// Who set what stands at `path`, or the nearest part of the configuration around it that was set at all.
pub(super) fn origin(root: &Table, path: &Path) -> Origin {
    let [Segment::Key(section), Segment::Key(key), rest @ ..] = path.segments() else { return Origin::Default };
    let section = root.get(section).map(|entry| &entry.node.value);
    let Some(Value::Table(section)) = section else { return Origin::Default };
    let Some(entry) = section.get(key) else { return Origin::Default };
    let mut node = &entry.node;
    for segment in rest {
        let inner = match (&node.value, segment) {
            (Value::Table(table), Segment::Key(key)) => table.get(key).map(|entry| &entry.node),
            (Value::Array(nodes), Segment::Index(index)) => nodes.get(*index),
            _ => None,
        };
        let Some(inner) = inner else { break };
        node = inner;
    }
    node.origin.clone()
}

fn to_table(table: DeTable<'_>, origin: &dyn Fn(std::ops::Range<usize>) -> Origin) -> Table {
    table
        .into_iter()
        .map(|(key, value)| {
            let entry = Entry { key: origin(key.span()), node: Node::from_toml(value, origin) };
            (key.into_inner().into_owned(), entry)
        })
        .collect()
}

fn to_i128(integer: &DeInteger<'_>) -> i128 {
    i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i128::MAX)
}
