//! `symphony config`: what is configured, and by whom.

use std::{fmt::Write as _, process::ExitCode};

use crate::{
    cli::ConfigCommand,
    config::{Loaded, Sources},
};

/// Every key with its default.
const EXAMPLE: &str = include_str!("../symphony.example.toml");

pub(crate) fn run(command: &ConfigCommand, sources: &Sources) -> ExitCode {
    if matches!(command, ConfigCommand::Example) {
        return crate::print(EXAMPLE);
    }
    let loaded = match sources.load() {
        Ok(loaded) => loaded,
        Err(error) => return crate::refuse(&error),
    };
    match command {
        ConfigCommand::Show(_) => match toml::to_string(&loaded.config) {
            Ok(text) => crate::print(&text),
            Err(error) => {
                crate::complain(format_args!("error: {error}"));
                ExitCode::FAILURE
            }
        },
        ConfigCommand::Check(_) | ConfigCommand::Example => crate::print(&summary(&loaded)),
    }
}

/// One line for each key that somebody set.
fn summary(loaded: &Loaded) -> String {
    let mut text = String::from("configuration is valid\n");
    let lines: Vec<_> =
        loaded.origins().into_iter().map(|(key, value, origin)| (format!("{key} = {value}"), origin)).collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or_default().min(60);
    for (line, origin) in lines {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line:width$}  # {origin}");
    }
    text
}
