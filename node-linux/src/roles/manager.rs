//! Role `manager`: queue, file server, database and mail around the manager.

use symphony_adapters::{
    broker,
    http::Health,
    smtp::{MailSettings, Mailer},
    tls::Tls,
};
use tokio_util::sync::CancellationToken;

use super::{RunError, dependencies::open_database, listen_with};
use crate::{
    config::{self, Config},
    manager::Manager,
};

pub(super) async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let tls = config.tls.load()?;
    let listener = listen_with(config.manager.listen, &tls).await?;
    let health = Health::new();
    let mailer = mailer(&config.mail, &tls)?;
    let bearer = config.api.bearer()?;
    let broker = broker::open_over(config.broker.url.expose(), &config.broker.queue, &tls).await?;
    let opened = open_database(&config.database, &tls, &health, listener, &shutdown).await?;
    let Some((database, listener)) = opened else { return Ok(()) };
    let manager = Manager {
        settings: config.manager,
        ftp: Some(config.ftp),
        broker: broker.clone(),
        database: database.clone(),
        mailer,
        bearer,
        tls,
        health,
    };
    let result = manager.run(listener, shutdown).await;
    broker.close().await;
    database.close().await;
    Ok(result?)
}

/// Whoever sends the mails; nobody if no URL is configured.
pub(crate) fn mailer(mail: &config::Mail, tls: &Tls) -> Result<Option<Mailer>, RunError> {
    let Some(url) = &mail.url else { return Ok(None) };
    let settings = MailSettings {
        url: url.expose().to_owned(),
        from: mail.from.clone(),
        to: mail.to.clone(),
        timeout: MailSettings::TIMEOUT,
    };
    Ok(Some(Mailer::over(&settings, tls)?))
}
