//! Role `manager`: queue, file server, database and mail around the manager.

use symphony_adapters::{
    broker,
    http::Health,
    smtp::{MailSettings, Mailer},
};
use tokio_util::sync::CancellationToken;

use super::{RunError, dependencies::open_database, listen};
use crate::{
    config::{self, Config},
    manager::Manager,
};

pub(super) async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let listener = listen(config.manager.listen).await?;
    let health = Health::new();
    let mailer = mailer(&config.mail)?;
    let broker = broker::open(config.broker.url.expose(), &config.broker.queue).await?;
    let opened = open_database(&config.database, &health, listener, &shutdown).await?;
    let Some((database, listener)) = opened else { return Ok(()) };
    let manager = Manager {
        settings: config.manager,
        ftp: Some(config.ftp),
        broker: broker.clone(),
        database: database.clone(),
        mailer,
        health,
    };
    let result = manager.run(listener, shutdown).await;
    broker.close().await;
    database.close().await;
    Ok(result?)
}

/// Whoever sends the mails; nobody if no URL is configured.
pub(crate) fn mailer(mail: &config::Mail) -> Result<Option<Mailer>, RunError> {
    let Some(url) = &mail.url else { return Ok(None) };
    let settings = MailSettings { url: url.expose().to_owned(), from: mail.from.clone(), to: mail.to.clone() };
    Ok(Some(Mailer::new(&settings)?))
}
