//! Which pages are visited, how often, and what happens to those that fail.

use std::collections::BTreeSet;

use symphony::scraper::ScrapeError;

use crate::{
    item,
    recorder::{Folder, Recorder},
    scrape, settings,
    site::Site,
};

fn set(titles: &[&str]) -> BTreeSet<String> {
    titles.iter().map(|&title| title.to_owned()).collect()
}

#[tokio::test]
async fn after_a_change_only_the_changed_item_is_published() {
    let site = Site::start().await;
    site.page("/", "<a href=/p1>1</a><a href=/p2>2</a>").page("/p1", item("a", "€1") + &item("b", "€1"));
    site.page("/p2", item("c", "€1"));
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());
    scrape(settings(&site.url()), state.path(), &broker, &folder).await.0.unwrap();
    assert_eq!(broker.titles(), set(&["a", "b", "c"]));

    site.page("/p1", item("a", "€1") + &item("b", "€2"));
    let changed = Recorder::new();
    scrape(settings(&site.url()), state.path(), &changed, &folder).await.0.unwrap();
    assert_eq!(changed.titles(), set(&["b"]));
    assert_eq!(site.hits("/p2"), [200, 304]);
    assert_eq!(folder.names().len(), 4);

    site.page("/p1", item("a", "€1"));
    let gone = Recorder::new();
    scrape(settings(&site.url()), state.path(), &gone, &folder).await.0.unwrap();
    assert_eq!(gone.count(), 0);
    let statistics = folder.documents()[2]["statistics"].clone();
    assert_eq!((&statistics["items_gone"], &statistics["items_unchanged"]), (&1.into(), &2.into()), "{statistics}");
}

#[tokio::test]
async fn a_new_configuration_reads_unchanged_pages_again() {
    let site = Site::start().await;
    site.page("/", item("a", "€1"));
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());
    scrape(settings(&site.url()), state.path(), &broker, &folder).await.0.unwrap();
    let mut other = settings(&site.url());
    other.fields.remove("price");
    scrape(other, state.path(), &broker, &folder).await.0.unwrap();
    assert_eq!(site.hits("/"), [200, 200]);
    assert_eq!(broker.count(), 2);
}

#[tokio::test]
async fn passing_failures_are_tried_again_and_lasting_ones_given_up() {
    let site = Site::start().await;
    site.page("/", "<a href=/p1>1</a><a href=/p2>2</a><a href=/p3>3</a><a href=/p4>4</a>");
    site.page("/p1", item("a", "€1")).trouble("/p1", &[500, 503]);
    site.page("/p2", item("b", "€1")).trouble("/p2", &[429]);
    site.page("/p3", item("c", "€1")).trouble("/p3", &[500, 500, 500, 500, 500]);
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());
    let (result, progress) = scrape(settings(&site.url()), state.path(), &broker, &folder).await;
    result.unwrap();
    assert_eq!(broker.titles(), set(&["a", "b"]));
    assert_eq!(site.hits("/p1"), [500, 503, 200]);
    assert_eq!(site.hits("/p2"), [429, 200]);
    assert_eq!(site.hits("/p3"), [500, 500, 500, 500]);
    assert_eq!(site.hits("/p4"), [404]);
    assert_eq!((progress.totals.errors, progress.totals.retries), (1, 6));
    assert_eq!(folder.documents()[0]["statistics"]["complete"], false);
}

#[tokio::test]
async fn robots_txt_is_obeyed() {
    let site = Site::start().await;
    site.page("/robots.txt", "User-agent: *\nDisallow: /private\nDisallow: /p2");
    site.page("/", "<a href=/p1>1</a><a href=/p2>2</a>").page("/p1", item("a", "€1")).page("/p2", item("b", "€1"));
    site.redirect("/p1x", "/p2");
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());
    scrape(settings(&site.url()), state.path(), &broker, &folder).await.0.unwrap();
    assert_eq!(broker.titles(), set(&["a"]));
    assert_eq!(site.hits("/p2"), [] as [u16; 0]);
    assert_eq!(site.hits("/robots.txt"), [200]);
    assert_eq!(folder.documents()[0]["statistics"]["pages_disallowed"], 1);
}

#[tokio::test]
async fn without_an_answer_about_robots_nothing_is_fetched() {
    let site = Site::start().await;
    site.page("/", item("a", "€1")).trouble("/robots.txt", &[500; 20]);
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());
    let result = scrape(settings(&site.url()), state.path(), &broker, &folder).await.0;
    assert!(matches!(result, Err(ScrapeError::Unreachable { .. })), "{result:?}");
    assert_eq!((site.pages_hit(), broker.count()), (0, 0));
    assert!(folder.names().is_empty());

    site.trouble("/robots.txt", &[]);
    scrape(settings(&site.url()), state.path(), &broker, &folder).await.0.unwrap();
    assert_eq!(broker.titles(), set(&["a"]));
}

#[tokio::test]
async fn a_site_without_end_is_left_after_the_pages_allowed() {
    let site = Site::start_endless(|path| {
        let number: u64 = path.trim_start_matches("/p").parse().unwrap_or(0);
        let links: String = (1..50).map(|step| format!("<a href=/p{}>x</a>", number * 50 + step)).collect();
        item(&format!("n{number}"), "€1") + &links
    })
    .await;
    let mut settings = settings(&site.url());
    settings.pages_max = 20;
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());
    scrape(settings, state.path(), &broker, &folder).await.0.unwrap();
    assert_eq!((site.pages_hit(), broker.count()), (20, 20));
    let statistics = folder.documents()[0]["statistics"].clone();
    assert_eq!(statistics["complete"], false);
    assert!(statistics["pages_left_out"].as_u64().unwrap() > 0, "{statistics}");
}

#[tokio::test]
async fn each_page_is_visited_once_however_it_is_linked() {
    let site = Site::start().await;
    site.page("/", "<a href=/p1>1</a><a href=/p1#x>1</a><a href='./%701?'>1</a><a href=/p2>2</a><a href=/>home</a>");
    site.page("/p1", item("a", "€1") + "<a href=/p1>self</a><a href=/p2>2</a><a href=/p3>3</a>");
    site.page("/p2", item("b", "€1") + "<a href=/p1>1</a>");
    site.redirect("/p3", "/p4").redirect("/p4", "/p3");
    let mut settings = settings(&site.url());
    settings.follow = Some("".into());
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());
    scrape(settings, state.path(), &broker, &folder).await.0.unwrap();
    assert_eq!(broker.titles(), set(&["a", "b"]));
    for (path, hits) in [("/", 1), ("/p1", 1), ("/p2", 1), ("/p3", 1), ("/p4", 1)] {
        assert_eq!(site.hits(path).len(), hits, "{path}");
    }
}

#[tokio::test]
async fn other_sites_are_visited_only_where_the_pattern_names_a_scheme() {
    let (site, other) = (Site::start().await, Site::start().await);
    other.page("/p1", item("b", "€1")).page("/p2", item("c", "€1"));
    site.page("/", format!("{}<a href={}/p1>other</a><a href=/p3>3</a>", item("a", "€1"), other.url()));
    site.redirect("/p3", &format!("{}/p2", other.url()));
    let (broker, folder) = (Recorder::new(), Folder::new());
    let state = tempfile::tempdir().unwrap();
    scrape(settings(&site.url()), state.path(), &broker, &folder).await.0.unwrap();
    assert_eq!((broker.titles(), other.pages_hit()), (set(&["a"]), 0));

    let mut anywhere = settings(&site.url());
    anywhere.follow = Some("^http://[^/]*/p".into());
    scrape(anywhere, state.path(), &broker, &folder).await.0.unwrap();
    assert_eq!(broker.titles(), set(&["a", "b", "c"]));
    assert_eq!(other.hits("/robots.txt").len(), 1);
}

#[tokio::test]
async fn a_start_page_may_have_moved_to_another_site() {
    let (old, new) = (Site::start().await, Site::start().await);
    old.redirect("/", &format!("{}/home", new.url()));
    new.page("/home", "<a href=/p1>1</a>").page("/p1", item("a", "€1"));
    let (broker, folder) = (Recorder::new(), Folder::new());
    let state = tempfile::tempdir().unwrap();
    scrape(settings(&old.url()), state.path(), &broker, &folder).await.0.unwrap();
    assert_eq!(broker.titles(), set(&["a"]));
}

#[tokio::test]
async fn a_page_too_large_or_of_another_kind_does_not_stop_the_others() {
    let site = Site::start().await;
    site.page("/", "<a href=/p1>1</a><a href=/p2.txt>2</a><a href=/p3>3</a>");
    site.page("/p1", item("a", "€1") + &"x".repeat(9 * 1024 * 1024)).page("/p2.txt", item("b", "€1"));
    site.page("/p3", item("c", "€1"));
    let (broker, folder) = (Recorder::new(), Folder::new());
    let state = tempfile::tempdir().unwrap();
    scrape(settings(&site.url()), state.path(), &broker, &folder).await.0.unwrap();
    assert_eq!(broker.titles(), set(&["c"]));
    let statistics = folder.documents()[0]["statistics"].clone();
    assert_eq!((&statistics["errors"], &statistics["pages_skipped"]), (&1.into(), &1.into()), "{statistics}");
}

#[tokio::test]
async fn a_site_that_is_away_is_an_error_of_a_single_run() {
    let mut settings = settings("http://127.0.0.1:9");
    settings.retries = 0;
    let (broker, folder) = (Recorder::new(), Folder::new());
    let state = tempfile::tempdir().unwrap();
    let result = scrape(settings, state.path(), &broker, &folder).await.0;
    assert!(matches!(result, Err(ScrapeError::Unreachable { .. })), "{result:?}");
}
