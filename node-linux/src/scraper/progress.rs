//! How far the scraper is, for terminals, tests and metrics.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

/// How far the scraper is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rounds over all sites that have ended.
    pub runs_finished: u64,
    /// Sites being scraped now, by name.
    pub current: BTreeMap<String, SiteProgress>,
    /// Sums since the start, over all sites.
    pub totals: Totals,
}

/// How far the run of one site is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteProgress {
    /// Pages visited.
    pub pages_visited: u64,
    /// Pages known and not yet visited.
    pub pages_waiting: u64,
    /// Distinct items found.
    pub items_seen: u64,
    /// Items handed to the broker and confirmed.
    pub items_published: u64,
}

/// Sums since the start, over all sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Pages that came with a body.
    pub pages_fetched: u64,
    /// Pages that had not changed (304).
    pub pages_unchanged: u64,
    /// Items found, once per run.
    pub items_seen: u64,
    /// Items handed to the broker and confirmed.
    pub items_published: u64,
    /// Items that are dead letters, because no queue takes them.
    pub items_refused: u64,
    /// Attempts to publish that failed.
    pub publish_failures: u64,
    /// Files uploaded.
    pub files_uploaded: u64,
    /// Attempts to upload that failed.
    pub upload_failures: u64,
    /// Pages given up.
    pub errors: u64,
    /// Requests repeated.
    pub retries: u64,
}

/// Counts for one site.
pub(super) struct Meter {
    site: String,
    progress: Arc<watch::Sender<Progress>>,
}

impl Meter {
    pub(super) fn new(site: &str, progress: Arc<watch::Sender<Progress>>) -> Self {
        Self { site: site.to_owned(), progress }
    }

    pub(super) fn started(&self) {
        self.progress.send_modify(|progress| {
            progress.current.insert(self.site.clone(), SiteProgress::default());
        });
    }

    pub(super) fn finished(&self) {
        self.progress.send_modify(|progress| {
            progress.current.remove(&self.site);
        });
    }

    /// A page has been visited and `waiting` pages are left.
    pub(super) fn visited(&self, page: Visited, retries: u32, waiting: usize) {
        let outcome = match page {
            Visited::Fetched => "fetched",
            Visited::Unchanged => "unchanged",
            Visited::Failed => "failed",
            Visited::Other => "other",
        };
        metrics::counter!("symphony_scraper_pages_total", "site" => self.site.clone(), "outcome" => outcome)
            .increment(1);
        self.modify(|totals, site| {
            site.pages_visited += 1;
            site.pages_waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
            totals.retries += u64::from(retries);
            match page {
                Visited::Fetched => totals.pages_fetched += 1,
                Visited::Unchanged => totals.pages_unchanged += 1,
                Visited::Failed => totals.errors += 1,
                Visited::Other => {}
            }
        });
    }

    pub(super) fn seen(&self) {
        metrics::counter!("symphony_scraper_items_seen_total", "site" => self.site.clone()).increment(1);
        self.modify(|totals, site| {
            totals.items_seen += 1;
            site.items_seen += 1;
        });
    }

    pub(super) fn published(&self) {
        metrics::counter!("symphony_scraper_items_published_total", "site" => self.site.clone()).increment(1);
        self.modify(|totals, site| {
            totals.items_published += 1;
            site.items_published += 1;
        });
    }

    pub(super) fn refused(&self) {
        metrics::counter!("symphony_scraper_items_refused_total", "site" => self.site.clone()).increment(1);
        self.modify(|totals, _| totals.items_refused += 1);
    }

    pub(super) fn publish_failed(&self) {
        metrics::counter!("symphony_scraper_publish_failures_total", "site" => self.site.clone()).increment(1);
        self.modify(|totals, _| totals.publish_failures += 1);
    }

    fn modify(&self, change: impl FnOnce(&mut Totals, &mut SiteProgress)) {
        self.progress.send_modify(|progress| {
            let site = progress.current.entry(self.site.clone()).or_default();
            change(&mut progress.totals, site);
        });
    }
}

/// What became of a visit to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visited {
    Fetched,
    Unchanged,
    Failed,
    /// A redirect, a missing page, something that is no page.
    Other,
}
