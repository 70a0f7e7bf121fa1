//! Role `ftp`: the file server, with health and metrics beside it.

use symphony_adapters::http::Health;
use tokio_util::sync::CancellationToken;

use super::{
    RunError,
    dependencies::{finish, serve_operations},
    listen,
};
use crate::{config, ftp};

pub(super) async fn run(settings: config::FtpServer, shutdown: CancellationToken) -> Result<(), RunError> {
    let listener = listen(settings.operations).await?;
    let health = Health::new();
    let server = ftp::bind(&settings).await?;
    let operations = serve_operations(listener, &health, shutdown.clone());
    server.serve(shutdown).await;
    finish(operations).await
}
