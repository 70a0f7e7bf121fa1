//! What the scraper promises, against the shop and against sites that misbehave.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed step fails the test")]

mod crash;
mod recorder;
mod shop;
mod site;
mod walk;

use std::{path::Path, sync::Arc, time::Duration};

use recorder::{Folder, Recorder};
use symphony::{
    config,
    scraper::{Progress, ScrapeError, run},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// One run over one site, and how far it came.
async fn scrape(
    site: config::Site,
    state: &Path,
    broker: &Arc<Recorder>,
    folder: &Arc<Folder>,
) -> (Result<(), ScrapeError>, Progress) {
    let (sender, progress) = watch::channel(Progress::default());
    let running = start(site, None, state, broker, folder, sender, CancellationToken::new());
    let result = tokio::time::timeout(PATIENCE, running).await.expect("ends in time");
    let progress = progress.borrow().clone();
    (result, progress)
}

fn start(
    site: config::Site,
    every: Option<Duration>,
    state: &Path,
    broker: &Arc<Recorder>,
    folder: &Arc<Folder>,
    progress: watch::Sender<Progress>,
    shutdown: CancellationToken,
) -> impl Future<Output = Result<(), ScrapeError>> + Send + 'static {
    // An error only says that another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tls = symphony_adapters::tls::Tls::new(None).unwrap();
    let settings = config::Scraper { every, state: state.to_owned(), sites: vec![site], ..config::Scraper::default() };
    let (broker, folder) = (Arc::clone(broker), Arc::clone(folder));
    async move { run(settings, &tls, broker as _, folder as _, progress, shutdown).await }
}

/// A site whose items are the elements of class `item`, by their id, followed along all links to `/p`.
fn settings(url: &str) -> config::Site {
    let fields = [
        (
            "id",
            config::Field {
                selector: None,
                attribute: Some("id".into()),
                kind: config::FieldKind::Text,
                required: true,
            },
        ),
        (
            "price",
            config::Field {
                selector: Some("i".into()),
                attribute: None,
                kind: config::FieldKind::Money,
                required: false,
            },
        ),
    ];
    config::Site {
        name: "test".into(),
        start: vec![format!("{url}/")],
        follow: Some("/p".into()),
        next: None,
        item: Some(".item".into()),
        items_on: None,
        key: Some("id".into()),
        title: Some("id".into()),
        fields: fields.into_iter().map(|(name, field)| (name.to_owned(), field)).collect(),
        pages_max: 1000,
        concurrency: 4,
        delay: Duration::ZERO,
        retries: 3,
    }
}

fn item(id: &str, price: &str) -> String {
    format!("<p class=item id={id}>{id} <i>{price}</i></p>")
}
