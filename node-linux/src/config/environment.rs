//! `SYMPHONY_SECTION__KEY` variables as a layer of the configuration.

use std::{ffi::OsString, path::PathBuf};

use super::{
    error::Problem,
    known,
    origin::Origin,
    path::Path,
    tree::{self, Entry, Table, Value},
};

const PREFIX: &str = "SYMPHONY_";
const SEPARATOR: &str = "__";

/// What the variables set. An empty variable sets nothing: compose passes one for every variable it cannot fill.
///
/// Variables without a double underscore are left alone, unless one is the name of a key but for that underscore.
pub(super) fn layer(variables: &[(OsString, OsString)], problems: &mut Vec<Problem>) -> Table {
    let mut layer = Table::new();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if value.is_empty() {
            continue;
        }
        let origin = Origin::Variable(name.to_owned());
        let mut problem =
            |message: String| problems.push(Problem { path: Path::default(), message, origin: origin.clone() });
        let Some((section, key)) = rest.split_once(SEPARATOR) else {
            if let Some(variable) = meant(rest) {
                problem(format!("no such variable; did you mean {variable}?"));
            }
            continue;
        };
        if rest != rest.to_uppercase() {
            problem(format!("no such variable; did you mean {}?", name.to_uppercase()));
            continue;
        }
        let Some(value) = value.to_str() else {
            problem("the value is not UTF-8".into());
            continue;
        };
        let entry = Entry::new(origin.clone(), Value::Text(value.to_owned()));
        tree::set(&mut layer, &section.to_lowercase(), &key.to_lowercase(), entry);
    }
    layer
}

/// The configuration file that the environment names.
pub(super) fn file(variables: &[(OsString, OsString)]) -> Option<PathBuf> {
    let (_, value) = variables.iter().find(|(name, _)| name == "SYMPHONY_CONFIG")?;
    (!value.is_empty()).then(|| value.into())
}

/// The variable whose name `rest` would be, had its author not saved an underscore.
fn meant(rest: &str) -> Option<String> {
    let name = rest.to_lowercase();
    known::sections().iter().find_map(|section| {
        let key = name.strip_prefix(section)?.strip_prefix('_')?;
        let base = key.strip_suffix("_file").unwrap_or(key);
        let known = known::keys(section).contains(&base);
        known.then(|| format!("{PREFIX}{}{SEPARATOR}{}", section.to_uppercase(), key.to_uppercase()))
    })
}
