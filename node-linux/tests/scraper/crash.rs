//! Nothing is lost: not in a crash, not while the broker or the file server is away.

use std::{collections::BTreeSet, sync::atomic::Ordering::SeqCst, time::Duration};

use symphony::{
    config,
    scraper::{Progress, ScrapeError},
};
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
async fn an_item_that_no_queue_takes_is_a_dead_letter_and_keeps_no_other() {
    let site = Site::start().await;
    let text = "x".repeat(32 * 1024);
    let large = |price| format!("<p class=item id=large><b>{text}</b> <i>{price}</i></p>");
    let page = |price| item("a", "€1") + &large(price) + &item("b", "€1");
    let mut settings = settings(&site.url());
    for number in 0..9 {
        let field = config::Field {
            selector: Some("b".into()),
            attribute: None,
            kind: config::FieldKind::Text,
            required: false,
        };
        settings.fields.insert(format!("text {number}"), field);
    }
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());
    // Unchanged, it is not tried again; changed, it is.
    for (price, refused) in [("€1", 1), ("€1", 0), ("€2", 1)] {
        site.page("/", page(price));
        let (result, progress) = scrape(settings.clone(), state.path(), &broker, &folder).await;
        result.unwrap();
        assert_eq!((progress.totals.items_refused, progress.totals.publish_failures), (refused, 0));
    }
    let buried = broker.buried.lock().unwrap().clone();
    assert!(buried.len() == 2 && buried[0].0 != buried[1].0 && buried[0].1.contains("bytes"), "{buried:?}");
    assert_eq!(broker.titles(), ["a", "b"].map(str::to_owned).into());
    for document in folder.documents() {
        assert_eq!(document["statistics"]["items_refused"], 1);
        assert_eq!(document["items"].as_array().unwrap().len(), 3, "it is among the processed data all the same");
    }
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
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
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
    scrape(settings(&site.url()), state.path(), &broker, &folder).await.0.unwrap();
    assert_eq!(folder.names().len(), 2);
    assert_eq!(folder.documents()[0]["statistics"]["items_new"], 150, "the data of the first run");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_two_scrapers_of_a_site_have_names_of_their_own() {
    let site = Site::start().await;
    site.page("/", item("a", "€1"));
    let (broker, folder) = (Recorder::new(), Folder::new());
    let states = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let runs = states.each_ref().map(|state| scrape(settings(&site.url()), state.path(), &broker, &folder));
    for (result, _) in futures_util::future::join_all(runs).await {
        result.unwrap();
    }
    // The site, the second, and then what differs, whether or not the second did.
    let marks: BTreeSet<_> =
        folder.names().iter().map(|name| name.rsplit_once('-').unwrap().1.replace(".json", ".csv")).collect();
    assert_eq!((folder.names().len(), marks.len()), (4, 2), "{:?}", folder.names());
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
