//! Where a value stands in the configuration: `scraper.sites[0].name`.

use std::fmt;

/// Names of tables and positions in lists, from the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(Vec<Segment>);

/// One step from a value to a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// Into a table.
    Key(String),
    /// Into a list, from 0.
    Index(usize),
}

impl Path {
    /// A key of a section.
    pub(super) fn new(section: &str, key: &str) -> Self {
        Self::default().key(section).key(key)
    }

    /// What stands under `key` here.
    #[must_use]
    pub(super) fn key(&self, key: &str) -> Self {
        self.then(Segment::Key(key.to_owned()))
    }

    /// What stands at `index` here, from 0.
    #[must_use]
    pub(super) fn index(&self, index: usize) -> Self {
        self.then(Segment::Index(index))
    }

    /// Says that what this path led to lies within `outer`.
    pub(super) fn prepend(&mut self, outer: Segment) {
        self.0.insert(0, outer);
    }

    /// The steps, from the root.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.0
    }

    fn then(&self, segment: Segment) -> Self {
        let mut path = self.clone();
        path.0.push(segment);
        path
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if position == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
