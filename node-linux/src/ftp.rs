//! Role `ftp`: the file server that scraper and manager meet at.

use symphony_adapters::{
    ftp::{FtpSettings, Security},
    ftp_server::{FtpServer, FtpServerError, FtpServerSettings},
    tls::Tls,
};

use crate::config;

/// How to talk to the file server.
pub(crate) fn client(ftp: &config::Ftp, tls: &Tls) -> FtpSettings {
    FtpSettings {
        address: ftp.address.clone(),
        user: ftp.user.clone(),
        password: ftp.password.expose().to_owned(),
        security: match ftp.tls {
            config::FtpTls::None => Security::Plain,
            config::FtpTls::Required => Security::Explicit(tls.client()),
        },
        timeout: FtpSettings::TIMEOUT,
    }
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
