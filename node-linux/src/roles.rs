//! From the command line to the role: each role's adapters, wired together for a process of its own.

mod dependencies;
mod ftp;
pub(crate) mod manager;
mod node;
mod scraper;
mod shop;
pub(crate) mod web;

use std::{error::Error, io, net::SocketAddr};

use symphony_adapters::{
    broker::BrokerError,
    database::DatabaseError,
    driver::DriverError,
    ftp_server::FtpServerError,
    http::{BearerError, ClientError, Listener},
    smtp::MailSettingsError,
    tls::{Tls, TlsError},
};
use thiserror::Error;
use tokio::net::TcpListener;

use crate::{
    cli::RoleCommand, config::Config, dev, election::ElectionError, manager::ManagerError, scraper::ScrapeError,
    shutdown::Shutdown,
};

pub(crate) use scraper::FtpUpload;

/// Why a role ended before it was asked to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The operating system refused something that every role needs.
    #[error("the operating system refused")]
    System(#[from] io::Error),
    /// An address to listen on.
    #[error("cannot listen on {address}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The token of the HTTP interface.
    #[error("api.token")]
    Token(#[from] BearerError),
    /// Certificates.
    #[error("[tls]: {0}")]
    Tls(#[from] TlsError),
    /// Taking part in the election.
    #[error(transparent)]
    Election(#[from] ElectionError),
    /// The election's driver.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The message queue.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The shared database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Mail.
    #[error("[mail]: {0}")]
    Mail(#[from] MailSettingsError),
    /// The file server.
    #[error(transparent)]
    Ftp(#[from] FtpServerError),
    /// The manager.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// The scraper.
    #[error(transparent)]
    Scraper(#[from] ScrapeError),
    /// A pass of `dev --once` was not complete in time.
    #[error("not everything arrived within {seconds} s: {missing}")]
    Incomplete {
        /// Time given.
        seconds: u64,
        /// What did not arrive.
        missing: String,
    },
    /// A task of this process panicked.
    #[error("a part of this process failed: {0}")]
    Part(Box<dyn Error + Send + Sync>),
}

/// Plays the role until `shutdown` is requested and its work in flight is done.
///
/// # Errors
/// Why the role could not start or go on.
pub(crate) async fn run(command: &RoleCommand, config: Config, shutdown: Shutdown) -> Result<(), RunError> {
    let shutdown = shutdown.token().clone();
    match command {
        RoleCommand::Web(_) => web::run(&config, shutdown).await,
        RoleCommand::Manager(_) => manager::run(config, shutdown).await,
        RoleCommand::Scraper(_) => scraper::run(config, shutdown).await,
        RoleCommand::Shop(_) => shop::run(config, shutdown).await,
        RoleCommand::Ftp(_) => ftp::run(config, shutdown).await,
        RoleCommand::Node(_) => node::run(&config, shutdown).await,
        RoleCommand::Dev(options) => dev::run(options, config, shutdown).await,
    }
}

/// Listens for HTTPS if this process has a certificate, for HTTP otherwise.
async fn listen_with(address: SocketAddr, tls: &Tls) -> Result<Listener, RunError> {
    Ok(Listener::new(listen(address).await?, tls))
}

/// Listens for HTTP.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })
}
