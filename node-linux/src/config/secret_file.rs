//! `KEY_file`: a value that stands in a file of its own, as container runtimes hand out secrets.

use std::path::Path as FilePath;

use super::{
    error::Problem,
    known, load,
    path::Path,
    tree::{Entry, Table, Value},
};

/// Bytes of such a file at most.
const SIZE_MAX: u64 = 64 << 10;

const SUFFIX: &str = "_file";

/// Replaces every `section.key_file` of a layer by `section.key` with the content of the file, as the environment would
/// have it; newlines at the end do not count.
pub(super) fn resolve(layer: &mut Table, problems: &mut Vec<Problem>) {
    for (section, entry) in layer {
        let Value::Table(keys) = &mut entry.node.value else { continue };
        for key in known::keys(section) {
            let key_file = format!("{key}{SUFFIX}");
            let Some(entry) = keys.remove(&key_file) else { continue };
            if matches!(entry.node.value, Value::Unset) {
                keys.entry((*key).to_owned()).or_insert(entry);
                continue;
            }
            let mut problem = |key: &str, message: String| {
                let path = Path::new(section, key);
                problems.push(Problem { path, message, origin: entry.key.clone().hiding_what_follows() });
            };
            if keys.contains_key(*key) {
                problem(&key_file, format!("`{key}` is set as well; only one of the two may be"));
                continue;
            }
            let (Value::Text(path) | Value::String(path)) = &entry.node.value else {
                problem(&key_file, "expected the path of a file".into());
                continue;
            };
            match read(FilePath::new(path)) {
                Ok(text) => {
                    keys.insert((*key).to_owned(), Entry::new(entry.key, Value::Text(text)));
                }
                // The path is not shown: some day it is the secret itself, put into the wrong variable.
                Err(reason) => problem(&key_file, format!("the file it names {reason}")),
            }
        }
    }
}

fn read(path: &FilePath) -> Result<String, String> {
    let text = load::read(path, SIZE_MAX).map_err(|error| format!("cannot be read: {error}"))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err("is empty".into()) } else { Ok(text.to_owned()) }
}
