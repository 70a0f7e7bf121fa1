//! Role `ftp`: the file server that scraper and manager meet at.

use symphony_adapters::ftp_server::{FtpServer, FtpServerError, FtpServerSettings};
use tokio_util::sync::CancellationToken;

use crate::config;

/// Serves files until `shutdown`; running sessions then have a moment to finish.
///
/// # Errors
/// [`FtpServerError`] if the folder or the address cannot be used.
pub async fn run(settings: config::FtpServer, shutdown: CancellationToken) -> Result<(), FtpServerError> {
    bind(&settings).await?.serve(shutdown).await;
    Ok(())
}

/// A server that listens and waits for [`FtpServer::serve`]: for those who must know which port it took.
///
/// # Errors
/// [`FtpServerError`] if the folder or the address cannot be used.
pub async fn bind(settings: &config::FtpServer) -> Result<FtpServer, FtpServerError> {
    FtpServer::bind(FtpServerSettings {
        listen: settings.listen,
        root: settings.root.clone(),
        user: settings.user.clone(),
        password: settings.password.expose().to_owned(),
        passive_ports: settings.passive_port_min..=settings.passive_port_max,
        idle_timeout: FtpServerSettings::IDLE_TIMEOUT,
    })
    .await
}
