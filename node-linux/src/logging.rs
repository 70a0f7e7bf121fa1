//! The log: events of `tracing` on standard error, for people or machines.

use std::{
    env,
    io::{self, IsTerminal as _},
    panic,
};

use thiserror::Error;
use tracing_subscriber::{EnvFilter, filter::ParseError, fmt, util::SubscriberInitExt as _, util::TryInitError};

use crate::config::{Log, LogFormat};

/// Why there is no log.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoggingError {
    /// The filter is none.
    #[error("log.filter: {0}")]
    Filter(#[from] ParseError),
    /// The process has a log already.
    #[error(transparent)]
    Twice(#[from] TryInitError),
}

/// Starts the log of this process. Text has colours on a terminal, unless `NO_COLOR` is set; as JSON, panics too are one
/// object a line.
///
/// # Errors
/// The filter is none, or the process has a log already.
pub fn init(log: &Log) -> Result<(), LoggingError> {
    let filter = EnvFilter::builder().parse(&log.filter)?;
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr);
    match log.format {
        LogFormat::Text => {
            let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            builder.with_ansi(io::stderr().is_terminal() && !plain).finish().try_init()?;
        }
        LogFormat::Json => {
            builder.json().flatten_event(true).with_current_span(false).finish().try_init()?;
            panic::set_hook(Box::new(|panic| {
                let place = panic.location().map(ToString::to_string);
                let message = panic.payload_as_str().unwrap_or("panic");
                tracing::error!(place, "{message}");
            }));
        }
    }
    Ok(())
}
