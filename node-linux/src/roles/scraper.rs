//! Role `scraper`: queue and file server around the scraper.

use std::sync::Arc;

use async_trait::async_trait;
use symphony_adapters::{
    broker::{self, Broker},
    ftp::{FtpClient, FtpSettings},
    http::{Health, operations, serve},
    tls::Tls,
};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

use super::{RunError, dependencies::finish, listen_with};
use crate::{
    config::{self, Config},
    ftp,
    scraper::{self, Progress, Upload, UploadError, terminal},
};

/// Time between two looks at the broker's health.
const PROBE_INTERVAL: time::Duration = time::Duration::from_secs(1);

pub(super) async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let tls = config.tls.load()?;
    let listener = listen_with(config.scraper.operations, &tls).await?;
    let health = Health::new();
    let broker = broker::open_over(config.broker.url.expose(), &config.broker.queue, &tls).await?;
    let probe = tokio::spawn(probe(broker.clone(), health.clone()));
    let stopped = CancellationToken::new();
    let router = operations(&health).merge(scraper::trace::routes(config.scraper.state.clone()));
    let operations = tokio::spawn(serve(listener, router, stopped.clone()));
    let (progress, seen) = watch::channel(Progress::default());
    let shown = tokio::spawn(terminal::show(seen));
    let upload = Arc::new(FtpUpload::new(&config.ftp, &tls));
    let result = scraper::run(config.scraper, &tls, broker.clone(), upload, progress, shutdown).await;
    health.set_draining();
    probe.abort();
    stopped.cancel();
    finish(operations).await?;
    broker.close().await;
    shown.await.map_err(|error| RunError::Part(Box::new(error)))?;
    Ok(result?)
}

async fn probe(broker: Arc<dyn Broker>, health: Health) {
    let dependency = health.dependency("broker");
    loop {
        match broker.health() {
            Ok(()) => dependency.up(),
            Err(error) => dependency.down(error.to_string()),
        }
        time::sleep(PROBE_INTERVAL).await;
    }
}

/// Puts processed data on the FTP server.
pub(crate) struct FtpUpload {
    settings: FtpSettings,
    folder: String,
}

impl FtpUpload {
    pub(crate) fn new(ftp: &config::Ftp, tls: &Tls) -> Self {
        Self { settings: ftp::client(ftp, tls), folder: ftp.folder.clone() }
    }
}

#[async_trait]
impl Upload for FtpUpload {
    async fn upload(&self, name: &str, content: Vec<u8>) -> Result<(), UploadError> {
        let failed = |error: symphony_adapters::ftp::FtpError| UploadError(error.to_string());
        let mut client = FtpClient::connect(&self.settings).await.map_err(failed)?;
        client.upload(&self.folder, name, &content).await.map_err(failed)?;
        client.quit().await;
        Ok(())
    }
}
