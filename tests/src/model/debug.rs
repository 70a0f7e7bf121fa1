//! What a node holds, read from its `Debug` text: the model sees every field without the core showing any.

/// A value as derived `Debug` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree<'a> {
    /// Name of a structure or a variant, or a plain word or number; empty for lists and tuples.
    pub(super) name: &'a str,
    /// Fields by name; elements have none.
    pub(super) fields: Vec<(&'a str, Self)>,
}

impl<'a> Tree<'a> {
    /// Reads `Debug` text.
    pub(super) fn read(mut text: &'a str) -> Self {
        read_value(&mut text)
    }

    /// The field of that name.
    pub(super) fn field(&self, name: &str) -> &Self {
        let found = self.fields.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
        found.unwrap_or_else(|| panic!("{} has no field {name}: the model must follow the core", self.name))
    }

    /// The only element of a newtype, or the only field of a structure.
    pub(super) fn inner(&self) -> &Self {
        match self.fields.as_slice() {
            [(_, value)] => value,
            _ => panic!("{self:?} is no newtype: the model must follow the core"),
        }
    }

    /// The elements.
    pub(super) fn elements(&self) -> impl Iterator<Item = &Self> {
        self.fields.iter().map(|(_, value)| value)
    }

    /// The number that a plain number or a newtype of one holds.
    pub(super) fn number(&self) -> u64 {
        if self.fields.is_empty() {
            self.name.parse().unwrap_or_else(|_| panic!("{} is no number", self.name))
        } else {
            self.inner().number()
        }
    }
}

fn read_value<'a>(text: &mut &'a str) -> Tree<'a> {
    let name = read_word(text);
    *text = text.trim_start();
    let fields = match text.as_bytes().first() {
        Some(b'{') => read_fields(text, '}', true),
        Some(b'(') => read_fields(text, ')', false),
        Some(b'[') => read_fields(text, ']', false),
        _ => Vec::new(),
    };
    Tree { name, fields }
}

fn read_fields<'a>(text: &mut &'a str, end: char, named: bool) -> Vec<(&'a str, Tree<'a>)> {
    *text = &text[1..];
    let mut fields = Vec::new();
    loop {
        *text = text.trim_start_matches([' ', ',']);
        if let Some(rest) = text.strip_prefix(end) {
            *text = rest;
            return fields;
        }
        assert!(!text.is_empty(), "the text of a value ends early");
        let key = if named { read_word(text) } else { "" };
        *text = text.trim_start_matches([' ', ':']);
        fields.push((key, read_value(text)));
    }
}

fn read_word<'a>(text: &mut &'a str) -> &'a str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    *text = rest;
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    #[expect(dead_code, reason = "read through Debug")]
    struct Outer {
        inner: Newtype,
        list: [Option<Newtype>; 2],
        unit: (),
    }

    #[derive(Debug)]
    #[expect(dead_code, reason = "read through Debug")]
    struct Newtype(u64);

    #[test]
    fn derived_text_is_read_back_field_by_field() {
        let outer = Outer { inner: Newtype(7), list: [Some(Newtype(8)), None], unit: () };
        let text = format!("{outer:?}");
        let tree = Tree::read(&text);
        assert_eq!(tree.name, "Outer");
        assert_eq!(tree.field("inner").number(), 7);
        let list: Vec<&Tree<'_>> = tree.field("list").elements().collect();
        assert_eq!((list[0].name, list[0].number(), list[1].name), ("Some", 8, "None"));
        assert!(tree.field("unit").fields.is_empty());
    }
}
