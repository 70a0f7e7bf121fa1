//! Role `ftp`: the file server, with health and metrics beside it.

use symphony_adapters::http::Health;
use tokio_util::sync::CancellationToken;

use super::{
    RunError,
    dependencies::{finish, serve_operations},
    listen_with,
};
use crate::{config::Config, ftp};

pub(super) async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let tls = config.tls.load()?;
    let settings = config.ftp_server;
    let listener = listen_with(settings.operations, &tls).await?;
    let health = Health::new();
    let server = ftp::bind(&settings).await?.with_identity(tls.identity().cloned());
    let operations = serve_operations(listener, &health, shutdown.clone());
    server.serve(shutdown).await;
    finish(operations).await
}
