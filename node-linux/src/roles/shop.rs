//! Role `shop`.

use tokio_util::sync::CancellationToken;

use super::{RunError, listen};
use crate::{config, shop};

pub(super) async fn run(settings: config::Shop, shutdown: CancellationToken) -> Result<(), RunError> {
    let listener = listen(settings.listen).await?;
    Ok(shop::serve(listener, settings, shutdown).await?)
}
