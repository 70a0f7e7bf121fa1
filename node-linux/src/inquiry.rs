//! Commands that ask the manager something.

use std::process::ExitCode;

use serde::Serialize;
use symphony_adapters::{
    http::{ClientError, WebClient},
    tls::TlsError,
};
use thiserror::Error;
use time::{OffsetDateTime, macros::format_description};
use tokio::runtime;

use crate::{
    cli::ManagerTarget,
    config::{Config, Sources},
    health,
};

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum InquiryError {
    #[error("error: {url}: {error}")]
    Client { url: String, error: ClientError },
    #[error("error: [tls]: {0}")]
    Tls(#[from] TlsError),
    #[error("error: {0}")]
    System(#[from] std::io::Error),
    #[error("error: {0}")]
    Json(#[from] serde_json::Error),
}

/// Asks the manager that `target` means; what `ask` makes of the answer is printed.
pub(crate) fn run(
    target: &ManagerTarget,
    sources: &Sources,
    ask: impl AsyncFnOnce(&WebClient, &str) -> Result<Result<String, serde_json::Error>, ClientError>,
) -> ExitCode {
    let config = match sources.load() {
        Ok(loaded) => loaded.config,
        Err(error) => return crate::refuse(&error),
    };
    let url = target.url.as_ref().map_or_else(|| here(&config), |url| url.as_str().trim_end_matches('/').to_owned());
    let failed = |error| InquiryError::Client { url: url.clone(), error };
    let result = || -> Result<String, InquiryError> {
        let client = client(&config)?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(ask(&client, &url)).map_err(failed)??)
    };
    match result() {
        Ok(text) => crate::print(&text),
        Err(error) => {
            crate::complain(error);
            ExitCode::FAILURE
        }
    }
}

/// The manager on this machine.
fn here(config: &Config) -> String {
    health::base_url(config, config.manager.listen)
}

/// Without a token in the configuration, the manager says that it takes one.
fn client(config: &Config) -> Result<WebClient, InquiryError> {
    let tls = config.tls.client()?;
    WebClient::over(&tls, config.api.bearer().ok()).map_err(|error| InquiryError::Client { url: here(config), error })
}

/// An answer as JSON or in words.
pub(crate) fn say<T: Serialize>(json: bool, answer: &T, words: fn(&T) -> String) -> serde_json::Result<String> {
    if json { serde_json::to_string_pretty(answer).map(|text| text + "\n") } else { Ok(words(answer)) }
}

/// A moment for people: UTC, to the millisecond.
pub(crate) fn moment(ms: i64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(&format).ok())
        .unwrap_or_else(|| format!("{ms} ms"))
}

/// The last line of a list: how many there are, and how many of them it shows.
pub(crate) fn how_many(total: u64, shown: usize, what: &str) -> String {
    match (total, shown as u64) {
        (0, 0) => format!("no {what}\n"),
        (total, shown) if shown < total => format!("{shown} of {total} {what}\n"),
        (_, shown) => format!("{shown} {what}\n"),
    }
}

/// A text from outside on one line, whatever is in it: nothing reaches the terminal's own language.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_utc() {
        assert_eq!(moment(1_795_472_163_776), "2026-11-23T22:16:03.776Z");
        assert_eq!(moment(i64::MAX), format!("{} ms", i64::MAX));
    }

    #[test]
    fn nothing_from_outside_moves_the_cursor() {
        assert_eq!(one_line("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
