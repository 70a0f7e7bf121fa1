//! Which files have stopped changing.

use std::collections::HashMap;

use super::RemoteFile;

/// Remembers one look at a folder, to tell at the next which files held still.
///
/// An uploader that writes under the final name is caught in mid-flight this way: only a file whose size and time are
/// the same in two consecutive looks is complete. It holds as much as one listing does.
#[derive(Clone, Debug, Default)]
pub struct StableFiles {
    seen: HashMap<String, Shape>,
}

/// What must hold still: size in bytes and modification time in milliseconds.
type Shape = (u64, i64);

impl StableFiles {
    /// A memory without a look: the first look yields nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a new look and returns the files that were there, unchanged, in the look before.
    #[must_use]
    pub fn look(&mut self, listing: Vec<RemoteFile>) -> Vec<RemoteFile> {
        let before = std::mem::take(&mut self.seen);
        self.seen = listing.iter().map(|file| (file.path.clone(), shape(file))).collect();
        listing.into_iter().filter(|file| before.get(&file.path) == Some(&shape(file))).collect()
    }
}

fn shape(file: &RemoteFile) -> Shape {
    (file.size, file.modified_at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, size: u64, modified_at_ms: i64) -> RemoteFile {
        RemoteFile { name: name.to_owned(), path: format!("/{name}"), size, modified_at_ms }
    }

    fn names(files: &[RemoteFile]) -> Vec<&str> {
        files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn the_first_look_fetches_nothing() {
        assert!(StableFiles::new().look(vec![file("a", 1, 1)]).is_empty());
    }

    #[test]
    fn a_file_that_held_still_is_fetched() {
        let mut stable = StableFiles::new();
        let _ = stable.look(vec![file("a", 1, 1), file("b", 2, 2)]);
        assert_eq!(names(&stable.look(vec![file("a", 1, 1), file("b", 2, 2)])), ["a", "b"]);
    }

    #[test]
    fn a_growing_file_waits_until_it_holds_still() {
        let mut stable = StableFiles::new();
        let _ = stable.look(vec![file("a", 1, 1)]);
        assert!(stable.look(vec![file("a", 2, 1)]).is_empty());
        assert_eq!(names(&stable.look(vec![file("a", 2, 1)])), ["a"]);
    }

    #[test]
    fn a_file_rewritten_at_the_same_size_waits() {
        let mut stable = StableFiles::new();
        let _ = stable.look(vec![file("a", 1, 1)]);
        assert!(stable.look(vec![file("a", 1, 2)]).is_empty());
    }

    #[test]
    fn the_two_looks_must_follow_each_other() {
        let mut stable = StableFiles::new();
        let _ = stable.look(vec![file("a", 1, 1)]);
        let _ = stable.look(vec![]);
        assert!(stable.look(vec![file("a", 1, 1)]).is_empty());
    }

    #[test]
    fn the_same_name_in_another_folder_is_another_file() {
        let mut stable = StableFiles::new();
        let _ = stable.look(vec![file("a", 1, 1)]);
        let moved = RemoteFile { path: "/other/a".to_owned(), ..file("a", 1, 1) };
        assert!(stable.look(vec![moved]).is_empty());
    }
}
