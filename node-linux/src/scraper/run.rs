//! One run over one site.

use std::{
    collections::{BTreeMap, HashSet, btree_map::Entry},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use symphony_adapters::{broker::Broker, item::Item, tls::Tls};
use time::OffsetDateTime;
use tokio::{
    fs,
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    ScrapeError,
    crawl::{Crawl, Limits, Tools},
    deliver::Outgoing,
    fetch::Fetcher,
    journal::{Journal, Ledger, News, content_digest},
    pace::Pace,
    pages::Pages,
    plan::Plan,
    progress::{Meter, Progress},
    publish::{Publisher, QUEUE_MAX},
    report::{Report, Statistics, milliseconds},
};
use crate::config::Site;

/// A site with all that its runs need.
pub(super) struct SiteRunner {
    tools: Arc<Tools>,
    limits: Limits,
    folder: PathBuf,
    outgoing: Outgoing,
    meter: Meter,
    broker: Arc<dyn Broker>,
    arrived: Arc<Notify>,
    shutdown: CancellationToken,
}

/// What all sites share.
pub(super) struct Surroundings<'a> {
    pub(super) state: &'a Path,
    pub(super) tls: &'a Tls,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) progress: Arc<watch::Sender<Progress>>,
    pub(super) arrived: Arc<Notify>,
    pub(super) shutdown: CancellationToken,
}

impl SiteRunner {
    /// # Errors
    /// [`ScrapeError::Configuration`].
    pub(super) fn new(site: &Site, plan: Plan, around: &Surroundings<'_>) -> Result<Self, ScrapeError> {
        let folder = around.state.join(&plan.slug);
        let fetcher = Fetcher::new(Pace::new(site.delay), site.retries, around.tls).map_err(|error| {
            ScrapeError::Configuration { site: site.name.clone(), reason: format!("no HTTP client: {error}") }
        })?;
        let pages = Pages::new(folder.join("pages"), plan.fingerprint.clone());
        Ok(Self {
            tools: Arc::new(Tools { plan, fetcher, pages }),
            limits: Limits { pages_max: site.pages_max, concurrency: site.concurrency },
            outgoing: Outgoing::new(&folder),
            folder,
            meter: Meter::new(&site.name, Arc::clone(&around.progress)),
            broker: Arc::clone(&around.broker),
            arrived: Arc::clone(&around.arrived),
            shutdown: around.shutdown.clone(),
        })
    }

    pub(super) fn outgoing(&self) -> Outgoing {
        self.outgoing.clone()
    }

    pub(super) fn name(&self) -> &str {
        &self.tools.plan.name
    }

    /// Scrapes the site once.
    ///
    /// # Errors
    /// [`ScrapeError::State`], [`ScrapeError::Unreachable`].
    pub(super) async fn run(&self) -> Result<(), ScrapeError> {
        self.meter.started();
        let result = self.run_metered().await;
        self.meter.finished();
        result
    }

    async fn run_metered(&self) -> Result<(), ScrapeError> {
        let (started_at, clock) = (OffsetDateTime::now_utc(), Instant::now());
        let publisher = Publisher {
            broker: &self.broker,
            meter: &self.meter,
            shutdown: &self.shutdown,
            away: AtomicBool::new(false),
        };
        fs::create_dir_all(self.folder.join("pages")).await.map_err(|error| self.state_error(error))?;
        let opened = Journal::open(&self.folder.join("journal.jsonl")).await;
        let (mut journal, mut ledger) = opened.map_err(|error| self.state_error(error))?;
        if !self.send_pending(&publisher, &mut journal, &mut ledger).await? {
            return Ok(());
        }

        let mut crawl = Crawl::new(Arc::clone(&self.tools), self.limits, &self.meter, &self.shutdown);
        let mut found = Found { items: BTreeMap::new(), ledger: &ledger, meter: &self.meter };
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        // The crawl ends early if the journal cannot be written: there is nobody to hand items to.
        let crawling = async {
            let sender = sender;
            while let Some(items) = crawl.next().await {
                for item in items {
                    if let Some(publication) = found.sort(item, &mut crawl.statistics)
                        && sender.send(publication).await.is_err()
                    {
                        return;
                    }
                }
            }
        };
        let ((), confirmed) = tokio::join!(crawling, publisher.drain(&mut journal, queue));
        let items = found.items;
        for sent in confirmed.map_err(|error| self.state_error(error))? {
            ledger.mark_sent(sent);
        }

        let mut statistics = std::mem::take(&mut crawl.statistics);
        statistics.items_gone = mark_gone(&mut ledger, &items, statistics.complete);
        statistics.items_refused = count_refused(&ledger, &items);
        statistics.duration_ms = milliseconds(clock.elapsed());
        self.log(&statistics);
        if self.shutdown.is_cancelled() {
            return Ok(());
        }
        let report = Report {
            site: self.name(),
            started_at,
            finished_at: OffsetDateTime::now_utc(),
            statistics: &statistics,
            items: &items,
        };
        let failure = crawl.start_failure_of(&statistics).map(str::to_owned);
        let settled = self.settle(&mut journal, &ledger, crawl.known(), &report, failure.is_none()).await;
        settled.map_err(|error| self.state_error(error))?;
        match failure {
            Some(reason) => Err(ScrapeError::Unreachable { site: self.name().to_owned(), reason }),
            None => Ok(()),
        }
    }

    /// Sends what an earlier run wrote down and did not see confirmed. `false` if the shutdown came first.
    async fn send_pending(
        &self,
        publisher: &Publisher<'_>,
        journal: &mut Journal,
        ledger: &mut Ledger,
    ) -> Result<bool, ScrapeError> {
        let pending: Vec<_> = ledger.pending.values().cloned().collect();
        for batch in pending.chunks(QUEUE_MAX) {
            tracing::info!(site = self.name(), items = batch.len(), "sending what an earlier run left over");
            let mut confirmed = Vec::new();
            let whole = publisher.publish(journal, batch, &mut confirmed).await;
            for sent in confirmed {
                ledger.mark_sent(sent);
            }
            if !whole.map_err(|error| self.state_error(error))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn settle(
        &self,
        journal: &mut Journal,
        ledger: &Ledger,
        known: &HashSet<url::Url>,
        report: &Report<'_>,
        reached: bool,
    ) -> std::io::Result<()> {
        journal.compact(ledger).await?;
        self.tools.pages.keep_only(known, report.statistics.complete).await?;
        if reached && self.outgoing.put(&self.tools.plan.slug, report).await? > 0 {
            self.arrived.notify_one();
        }
        Ok(())
    }

    fn log(&self, statistics: &Statistics) {
        tracing::info!(
            site = self.name(),
            complete = statistics.complete,
            pages_fetched = statistics.pages_fetched,
            pages_unchanged = statistics.pages_unchanged,
            items_seen = statistics.items_seen,
            items_new = statistics.items_new,
            items_changed = statistics.items_changed,
            items_gone = statistics.items_gone,
            items_refused = statistics.items_refused,
            errors = statistics.errors,
            retries = statistics.retries,
            bytes = statistics.bytes,
            duration_ms = statistics.duration_ms,
            "run over"
        );
    }

    fn state_error(&self, error: std::io::Error) -> ScrapeError {
        ScrapeError::State { folder: self.folder.clone(), error }
    }
}

/// The items of a run as they come in.
struct Found<'a> {
    items: BTreeMap<String, Item>,
    ledger: &'a Ledger,
    meter: &'a Meter,
}

impl Found<'_> {
    /// Keeps an item, the first of its id, and says whether it is to be published.
    fn sort(&mut self, item: Item, statistics: &mut Statistics) -> Option<super::journal::Publication> {
        let slot = match self.items.entry(item.id.clone()) {
            Entry::Vacant(slot) => slot,
            Entry::Occupied(first) => {
                statistics.items_repeated += 1;
                if content_digest(first.get()) != content_digest(&item) {
                    tracing::debug!(url = item.url, first = first.get().url, "two pages differ about an item");
                }
                return None;
            }
        };
        self.meter.seen();
        statistics.items_seen += 1;
        let news = self.ledger.news(&item);
        slot.insert(item);
        match news {
            News::Unchanged => {
                statistics.items_unchanged += 1;
                None
            }
            News::New(publication) => {
                statistics.items_new += 1;
                Some(publication)
            }
            News::Changed(publication) => {
                statistics.items_changed += 1;
                Some(publication)
            }
        }
    }
}

/// Items of a run that no broker takes as they are.
fn count_refused(ledger: &Ledger, items: &BTreeMap<String, Item>) -> u64 {
    let published = items.keys().filter_map(|id| ledger.published.get(id));
    published.filter(|published| published.refused.is_some()).count() as u64
}

/// Marks items that a complete run did not see, and counts those that were there before.
fn mark_gone(ledger: &mut Ledger, items: &BTreeMap<String, Item>, complete: bool) -> u64 {
    let mut gone = 0;
    for (id, published) in &mut ledger.published {
        let missing = !items.contains_key(id);
        if missing && complete && !published.gone {
            gone += 1;
            published.gone = true;
        } else if !missing {
            published.gone = false;
        }
    }
    gone
}
