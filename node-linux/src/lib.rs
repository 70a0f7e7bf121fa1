//! The `symphony` binary as a library: roles, configuration and command line.

mod backoff;
pub mod cert;
mod cli;
pub mod config;
mod dev;
mod dlq;
pub mod election;
mod files;
pub mod ftp;
mod health;
mod init;
mod inquiry;
mod inspect;
pub mod keys;
pub mod logging;
mod mail;
pub mod manager;
mod packet;
pub mod roles;
pub mod scraper;
pub mod shop;
pub mod shutdown;
mod trace;
pub mod web;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::Parser as _;

use crate::{
    cli::{Cli, Command, RoleCommand},
    config::{Config, ConfigError, Sources},
    shutdown::Shutdown,
};

/// Exit code for a configuration that cannot be used (`EX_CONFIG` of sysexits.h).
const EXIT_CONFIG: u8 = 78;

/// Time that blocking work has to end once the role has.
const RUNTIME_END_MAX: Duration = Duration::from_secs(5);

/// The whole program: reads the command line and the configuration, and plays the role.
///
/// The exit code is 0 for a role that ended as asked, 1 for one that failed, 2 for a wrong command line and 78 for a
/// wrong configuration; a second signal ends the process at once with 128 and the signal's number.
#[must_use]
pub fn main() -> ExitCode {
    symphony_adapters::tls::install_provider();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // There is nobody left to tell if this cannot be written.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let sources = cli.sources();
    match cli.command {
        Command::Role(command) => load(&sources).map_or_else(|code| code, |config| play(&command, config)),
        Command::Config { command } => inspect::run(&command, &sources),
        Command::Health(options) => health::run(&options, &sources),
        Command::Dlq { command } => dlq::run(&command, &sources),
        Command::Mail { command } => mail::run(&command, &sources),
        Command::Files { command } => files::run(&command, &sources),
        Command::Cert { command } => cert::run(&command),
        Command::Init(options) => init::run(&options),
        Command::Key { command } => keys::run(&command),
        Command::Trace(options) => trace::run(&options, &sources),
        Command::Packet { command } => packet::run(&command, &sources),
    }
}

fn load(sources: &Sources) -> Result<Config, ExitCode> {
    sources.load().map(|loaded| loaded.config).map_err(|error| refuse(&error))
}

/// Says what is wrong with the configuration.
fn refuse(error: &ConfigError) -> ExitCode {
    complain(error);
    ExitCode::from(EXIT_CONFIG)
}

/// Tells the user of a failure, where there is no log.
fn complain(message: impl std::fmt::Display) {
    // There is nobody left to tell if this cannot be written.
    let _ = writeln!(io::stderr(), "{message}");
}

/// Prints the result of a command; a reader that has gone away, such as `head`, is no failure.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn play(command: &RoleCommand, mut config: Config) -> ExitCode {
    if matches!(command, RoleCommand::Dev(_)) && config.log == config::Log::default() {
        // What happens is told on standard output; the log is for what goes wrong.
        config.log.filter = "error".into();
    }
    if let Err(error) = logging::init(&config.log) {
        complain(format_args!("error: no log: {error}"));
        return ExitCode::FAILURE;
    }
    // Whatever is measured before there is a recorder is lost.
    symphony_adapters::http::metrics::install();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let result = runtime.block_on(async {
        let shutdown = Shutdown::on_signals()?;
        tracing::info!(role = %command.role(), version = env!("CARGO_PKG_VERSION"), "starting");
        roles::run(command, config, shutdown).await
    });
    runtime.shutdown_timeout(RUNTIME_END_MAX);
    match result {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

/// Logs why the role ended, with the causes.
fn fail(error: &dyn std::error::Error) -> ExitCode {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    tracing::error!("{message}");
    if !tracing::enabled!(tracing::Level::ERROR) {
        complain(format_args!("error: {message}"));
    }
    ExitCode::FAILURE
}
