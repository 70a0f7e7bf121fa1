//! Names of all sections and keys, asked of the types themselves.

use super::{
    Config,
    deserialize::{self, ValueError},
    origin::Origin,
    tree::{Entry, Table, Value},
};

/// A name that no table has.
const NOBODY: &str = "";

/// Names of the sections.
pub(super) fn sections() -> &'static [&'static str] {
    keys_of(Table::from([(NOBODY.to_owned(), Entry::new(Origin::Default, Value::Unset))]))
}

/// Names of the keys of `section`; none if there is no such section.
pub(super) fn keys(section: &str) -> &'static [&'static str] {
    if !sections().contains(&section) {
        return &[];
    }
    let inner = Table::from([(NOBODY.to_owned(), Entry::new(Origin::Default, Value::Unset))]);
    keys_of(Table::from([(section.to_owned(), Entry::new(Origin::Default, Value::Table(inner)))]))
}

/// What serde would have known in place of the unknown key in `root`.
fn keys_of(root: Table) -> &'static [&'static str] {
    deserialize::from_table::<Config>(root).err().and_then(|error: ValueError| error.known_keys()).unwrap_or_default()
}
