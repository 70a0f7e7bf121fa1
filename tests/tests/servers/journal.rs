//! What the scraper remembers, on a disk that is full.

use std::{fs, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use libtest_mimic::Trial;
use symphony::{
    config,
    scraper::{self, Progress, ScrapeError, Upload, UploadError},
    shop,
};
use symphony_adapters::{
    broker::{self, Broker},
    tls::Tls,
};
use symphony_tests::servers::disk::{self, Disk};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

const PRODUCTS: usize = 20;
const DISK_SIZE: usize = 1 << 20;

pub(crate) fn trials() -> Vec<Trial> {
    let name = "journal::a_full_disk_takes_nothing_that_was_written_down";
    vec![disk::trial(name, &[], a_full_disk)]
}

/// Takes every file, and keeps none.
struct Taken;

#[async_trait]
impl Upload for Taken {
    async fn upload(&self, _: &str, _: Vec<u8>) -> Result<(), UploadError> {
        Ok(())
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk() {
    symphony_adapters::tls::install_provider();
    let folder = tempfile::tempdir().unwrap();
    let queue = format!("sqlite:{}", folder.path().join("queue.db").display());
    let broker = broker::open(&queue, "items").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site = shop::site(&format!("http://{}", listener.local_addr().unwrap()));
    let settings =
        config::Shop { products: PRODUCTS, price_change_every: Duration::from_secs(86_400), ..config::Shop::default() };
    let closing = CancellationToken::new();
    let shop = tokio::spawn(shop::serve(listener, settings, closing.clone()));
    let disk = Disk::mount(&folder.path().join("disk"), DISK_SIZE);
    let state = disk.path().join("state");
    let journal = state.join("shop").join("journal.jsonl");

    scrape(&site, &state, &broker).await.unwrap();
    assert_eq!(broker.depth().await.unwrap().ready, PRODUCTS as u64);
    let written = fs::read(&journal).unwrap();
    disk.fill();
    let failed = scrape(&site, &state, &broker).await.unwrap_err();
    assert!(matches!(failed, ScrapeError::State { .. }), "{failed}");
    assert!(fs::read(&journal).unwrap() == written, "the journal has changed");
    disk.free();
    scrape(&site, &state, &broker).await.unwrap();
    assert_eq!(broker.depth().await.unwrap().ready, PRODUCTS as u64, "all of it was known");

    closing.cancel();
    shop.await.unwrap().unwrap();
}

/// One run.
async fn scrape(site: &config::Site, state: &Path, broker: &Arc<dyn Broker>) -> Result<(), ScrapeError> {
    let settings = config::Scraper {
        every: None,
        state: state.to_owned(),
        sites: vec![site.clone()],
        ..config::Scraper::default()
    };
    let (progress, _) = watch::channel(Progress::default());
    let tls = Tls::new(None).unwrap();
    scraper::run(settings, &tls, Arc::clone(broker), Arc::new(Taken), progress, CancellationToken::new()).await
}
