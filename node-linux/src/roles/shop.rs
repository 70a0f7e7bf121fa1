//! Role `shop`.

use tokio_util::sync::CancellationToken;

use super::{RunError, listen_with};
use crate::{config::Config, shop};

pub(super) async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let listener = listen_with(config.shop.listen, &config.tls.load()?).await?;
    Ok(shop::serve(listener, config.shop, shutdown).await?)
}
