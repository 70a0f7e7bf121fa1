//! Layers, from the weakest: defaults, file, environment, flags.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use toml::de::DeTable;

use super::{
    Config, ConfigError, Role, deserialize, environment,
    error::Problem,
    known,
    origin::{Origin, Place, Source},
    path::Path,
    secret_file,
    tree::{self, Entry, Table, Value},
    validate,
};

/// Bytes of a configuration file at most.
const FILE_SIZE_MAX: u64 = 1 << 20;

/// Read from the working directory if nobody names another file.
const FILE_DEFAULT: &str = "symphony.toml";

/// Where a configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Configuration file; unless told, the variable `SYMPHONY_CONFIG`, then `symphony.toml` if there is one.
    pub file: Option<PathBuf>,
    /// Environment.
    pub variables: Vec<(OsString, OsString)>,
    /// Flags; of two for the same key, the later wins.
    pub settings: Vec<Setting>,
    /// Role to check for; unless told, only what holds for every role.
    pub role: Option<Role>,
}

/// One key set by a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Flag, for error messages.
    pub flag: String,
    /// Key with its section: `node.id`.
    pub key: String,
    /// Value as the environment would have it; empty: back to the default.
    pub value: String,
}

/// A configuration and who set what.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    tree: Table,
}

impl Sources {
    /// Reads, merges and checks.
    ///
    /// # Errors
    /// Everything that is wrong, with the place of each.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let mut problems = Vec::new();
        let mut tree = Table::new();
        let file = self.file()?.map(|source| parse(&source)).transpose()?.unwrap_or_default();
        let environment = environment::layer(&self.variables, &mut problems);
        let flags = flags(&self.settings, &mut problems);
        for mut layer in [file, environment, flags] {
            secret_file::resolve(&mut layer, &mut problems);
            check_each(&layer, &mut problems);
            tree::merge(&mut tree, layer);
        }
        ConfigError::check(problems)?;
        let config: Config = deserialize::from_table(tree.clone()).map_err(Problem::from)?;
        ConfigError::check(validate::problems(&config, &tree, self.role))?;
        Ok(Loaded { config, tree })
    }

    /// The file, if there is to be one.
    fn file(&self) -> Result<Option<Arc<Source>>, ConfigError> {
        let named = self.file.clone().filter(|path| !path.as_os_str().is_empty());
        let named = named.or_else(|| environment::file(&self.variables));
        let path = named.clone().unwrap_or_else(|| FILE_DEFAULT.into());
        match read(&path, FILE_SIZE_MAX) {
            Ok(text) => Ok(Some(Arc::new(Source { path, text }))),
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let source = Arc::new(Source { path, text: String::new() });
                let message = format!("the configuration file cannot be read: {error}");
                let origin = Origin::File(Place::new(&source, None));
                Err(Problem { path: Path::default(), message, origin }.into())
            }
        }
    }
}

impl Loaded {
    /// Keys that somebody set, with their value as it is shown, and by whom: `symphony.toml:3` or a name.
    #[must_use]
    pub fn origins(&self) -> Vec<(String, String, String)> {
        let shown = toml::Table::try_from(&self.config).unwrap_or_default();
        let mut origins = Vec::new();
        for (section, entry) in &self.tree {
            let Value::Table(keys) = &entry.node.value else { continue };
            for (key, entry) in keys {
                let value = shown.get(section).and_then(|section| section.get(key));
                let value = value.map(toml::Value::to_string).unwrap_or_default();
                origins.push((format!("{section}.{key}"), value, entry.node.origin.brief()));
            }
        }
        origins
    }
}

/// Reads a text file of at most `size_max` bytes.
pub(super) fn read(path: &FilePath, size_max: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(size_max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > size_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {size_max} bytes")));
    }
    Ok(text)
}

fn parse(source: &Arc<Source>) -> Result<Table, ConfigError> {
    let document = DeTable::parse(&source.text).map_err(|error| {
        let place = Place::new(source, error.span());
        let place = if may_show_secret(&place) { place.hiding_line() } else { place };
        let origin = Origin::File(place);
        Problem { path: Path::default(), message: error.message().to_owned(), origin }
    })?;
    Ok(tree::from_file(document.into_inner(), source))
}

/// Whether the line of a place, or the assignment that it continues, is that of a key that may be secret.
fn may_show_secret(place: &Place) -> bool {
    let secret = |line: &str| ["url", "password", "token"].iter().any(|word| line.contains(word));
    let line = place.line();
    secret(line)
        || !line.contains('=') && place.lines_before().rev().find(|line| line.contains('=')).is_some_and(secret)
}

fn flags(settings: &[Setting], problems: &mut Vec<Problem>) -> Table {
    let mut layer = Table::new();
    for setting in settings {
        let origin = Origin::Flag(setting.flag.clone());
        let Some((section, key)) = setting.key.split_once('.') else {
            let message = format!("{:?} is not a section and a key, such as node.id", setting.key);
            problems.push(Problem { path: Path::default(), message, origin });
            continue;
        };
        let value = if setting.value.is_empty() { Value::Unset } else { Value::Text(setting.value.clone()) };
        tree::set(&mut layer, section, key, Entry::new(origin, value));
    }
    layer
}

/// Gives types to every key of a layer by itself: all that is wrong is said at once, also what a stronger layer hides.
fn check_each(layer: &Table, problems: &mut Vec<Problem>) {
    let mut check = |name: &str, entry: Entry| {
        let result = deserialize::from_table::<Config>(Table::from([(name.to_owned(), entry)]));
        result.map_err(|error| problems.push(error.into())).is_ok()
    };
    for (name, section) in layer {
        let Value::Table(keys) = &section.node.value else {
            check(name, section.clone());
            continue;
        };
        let only = |keys: Table| {
            let mut only = section.clone();
            only.node.value = Value::Table(keys);
            only
        };
        if !check(name, only(Table::new())) {
            continue;
        }
        for (key, entry) in keys {
            let known_key = known::keys(name).contains(&key.as_str());
            if !(known_key && matches!(entry.node.value, Value::Unset)) {
                check(name, only(Table::from([(key.clone(), entry.clone())])));
            }
        }
    }
}
