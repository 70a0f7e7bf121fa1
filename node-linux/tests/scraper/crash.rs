//! Nothing is lost: not in a crash, not while the broker or the file server is away.

use std::{collections::BTreeSet, sync::atomic::Ordering::SeqCst, time::Duration};

use symphony::scraper::{Progress, ScrapeError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    PATIENCE, item,
    recorder::{Folder, Recorder},
    scrape, settings,
    site::Site,
    start,
};

/// A site of 30 pages with 5 items each.
async fn large() -> (std::sync::Arc<Site>, BTreeSet<String>) {
    let site = Site::start().await;
    let links: String = (0..30).map(|page| format!("<a href=/p{page}>{page}</a>")).collect();
    site.page("/", links);
    let mut ids = BTreeSet::new();
    for page in 0..30 {
        let names: Vec<String> = (0..5).map(|index| format!("i{page}-{index}")).collect();
        site.page(&format!("/p{page}"), names.iter().map(|id| item(id, "€5")).collect::<String>());
        ids.extend(names);
    }
    (site, ids)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_mid_run_loses_nothing_and_repeats_only_the_same_message() {
    let (site, ids) = large().await;
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());
    for crash_after in [1, 40, 90] {
        broker.silent_after.store(crash_after, SeqCst);
        let (sender, _progress) = watch::channel(Progress::default());
        let shutdown = CancellationToken::new();
        let running =
            tokio::spawn(start(settings(&site.url()), None, state.path(), &broker, &folder, sender, shutdown));
        tokio::time::timeout(PATIENCE, async {
            while broker.count() <= usize::try_from(crash_after).unwrap() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        // A page that was fetched and not published may be a 304 next time.
    }
    broker.silent_after.store(0, SeqCst);
    scrape(settings(&site.url()), state.path(), &broker, &folder).await.0.unwrap();
    assert_eq!(broker.titles(), ids);
    assert_eq!(broker.items().len(), ids.len(), "each item is one message, however often it was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_not_confirmed_is_sent_again_even_if_the_site_has_changed() {
    let site = Site::start().await;
    site.page("/", item("a", "€10"));
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());
    scrape(settings(&site.url()), state.path(), &broker, &folder).await.0.unwrap();

    // The new price reaches the broker, its confirmation is lost, and the price goes back.
    site.page("/", item("a", "€12"));
    broker.silent_after.store(1, SeqCst);
    let (sender, _progress) = watch::channel(Progress::default());
    let running = tokio::spawn(start(
        settings(&site.url()),
        None,
        state.path(),
        &broker,
        &folder,
        sender,
        CancellationToken::new(),
    ));
    tokio::time::timeout(PATIENCE, async {
        while broker.count() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    running.abort();
    let _ = running.await;
    broker.silent_after.store(0, SeqCst);
    site.page("/", item("a", "€10"));
    scrape(settings(&site.url()), state.path(), &broker, &folder).await.0.unwrap();

    let prices: Vec<_> =
        broker.items().iter().map(|item| item.fields["price"]["amount"].as_str().unwrap().to_owned()).collect();
    assert_eq!(prices, ["10.00", "12.00", "10.00"], "the last word is the site's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_waited_for() {
    let (site, ids) = large().await;
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());
    broker.refusals.store(u64::MAX, SeqCst);
    let (sender, mut progress) = watch::channel(Progress::default());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(start(settings(&site.url()), None, state.path(), &broker, &folder, sender, shutdown));
    let refused = progress.wait_for(|progress| progress.totals.publish_failures >= 3);
    tokio::time::timeout(PATIENCE, refused).await.unwrap().unwrap();
    assert_eq!(broker.count(), 0);
    broker.refusals.store(0, SeqCst);
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(broker.titles(), ids);
    assert_eq!(broker.count(), ids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_a_run_whose_broker_is_silent_and_the_next_run_ends_its_work() {
    let (site, ids) = large().await;
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());
    broker.silent_after.store(20, SeqCst);
    let (sender, mut progress) = watch::channel(Progress::default());
    let shutdown = CancellationToken::new();
    let running =
        tokio::spawn(start(settings(&site.url()), None, state.path(), &broker, &folder, sender, shutdown.clone()));
    let begun = progress.wait_for(|progress| progress.totals.items_published >= 20);
    tokio::time::timeout(PATIENCE, begun).await.unwrap().unwrap();
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(15), running).await.unwrap().unwrap().unwrap();
    assert!(folder.names().is_empty(), "half a run is no data");

    broker.silent_after.store(0, SeqCst);
    scrape(settings(&site.url()), state.path(), &broker, &folder).await.0.unwrap();
    assert_eq!(broker.titles(), ids);
    assert_eq!(broker.items().len(), ids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_could_not_be_uploaded_waits_for_the_next_start() {
    let (site, _) = large().await;
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());
    folder.refusals.store(u64::MAX, SeqCst);
    let (sender, mut progress) = watch::channel(Progress::default());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(start(settings(&site.url()), None, state.path(), &broker, &folder, sender, shutdown));
    let failed = progress.wait_for(|progress| progress.totals.upload_failures >= 4);
    tokio::time::timeout(PATIENCE, failed).await.unwrap().unwrap();
    running.abort();
    let _ = running.await;
    assert!(folder.names().is_empty());

    folder.refusals.store(1, SeqCst);
    let (result, progress) = scrape(settings(&site.url()), state.path(), &broker, &folder).await;
    result.unwrap();
    assert_eq!(progress.totals.files_uploaded, 2);
    assert_eq!(folder.documents()[0]["statistics"]["items_new"], 150, "the data of the first run");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_scrapers_do_not_share_a_folder() {
    let site = Site::start().await;
    site.page("/", item("a", "€1"));
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());
    let (sender, mut progress) = watch::channel(Progress::default());
    let every = Some(Duration::from_secs(3600));
    let running = tokio::spawn(start(
        settings(&site.url()),
        every,
        state.path(),
        &broker,
        &folder,
        sender,
        CancellationToken::new(),
    ));
    let ended = progress.wait_for(|progress| progress.runs_finished == 1);
    tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap();
    let second = scrape(settings(&site.url()), state.path(), &broker, &folder).await.0;
    assert!(matches!(second, Err(ScrapeError::StateInUse(_))), "{second:?}");
    running.abort();
}
