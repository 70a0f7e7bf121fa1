//! The walk over one site: which pages are visited, each at most once, and what they hold.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use symphony_adapters::item::Item;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    address::origin,
    fetch::Fetcher,
    pages::Pages,
    plan::Plan,
    progress::{Meter, Visited},
    report::Statistics,
    robots::{self, Rules},
    visit::{Outcome, Visit, visit},
};

/// Redirects in a row that are followed.
const HOPS_MAX: u8 = 5;

/// Requests in flight at once, whatever the configuration says.
const CONCURRENCY_MAX: usize = 64;

/// URLs remembered per page that may be visited: bounds memory on sites without end.
const KNOWN_PER_PAGE_MAX: usize = 8;

/// What all visits of a run share.
pub(super) struct Tools {
    pub(super) plan: Plan,
    pub(super) fetcher: Fetcher,
    pub(super) pages: Pages,
}

/// Limits of one run.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) pages_max: usize,
    pub(super) concurrency: usize,
}

/// A walk in progress. Dropping it ends all its requests.
pub(super) struct Crawl<'a> {
    tools: Arc<Tools>,
    limits: Limits,
    meter: &'a Meter,
    shutdown: &'a CancellationToken,
    /// Origins that pages without a pattern to leave by must belong to.
    home: HashSet<String>,
    rules: HashMap<String, Rules>,
    known: HashSet<Url>,
    waiting: VecDeque<Stop>,
    visiting: JoinSet<Visit>,
    pages_started: usize,
    start_failure: Option<String>,
    pub(super) statistics: Statistics,
}

/// A page to visit.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    pub(super) url: Url,
    /// Redirects that led here in a row.
    hops: u8,
    /// Whether the configuration names it, or a redirect from such a page does.
    start: bool,
}

impl<'a> Crawl<'a> {
    pub(super) fn new(tools: Arc<Tools>, limits: Limits, meter: &'a Meter, shutdown: &'a CancellationToken) -> Self {
        let mut crawl = Self {
            home: tools.plan.start.iter().map(origin).collect(),
            limits,
            meter,
            shutdown,
            rules: HashMap::new(),
            known: HashSet::new(),
            waiting: VecDeque::new(),
            visiting: JoinSet::new(),
            pages_started: 0,
            start_failure: None,
            statistics: Statistics { complete: true, ..Statistics::default() },
            tools,
        };
        let tools = Arc::clone(&crawl.tools);
        for url in &tools.plan.start {
            crawl.admit(Stop { url: url.clone(), hops: 0, start: true });
        }
        crawl
    }

    /// The items of the next page that has any; none when the walk is over or the shutdown came.
    pub(super) async fn next(&mut self) -> Option<Vec<Item>> {
        loop {
            let joined = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => None,
                joined = self.step() => Some(joined),
            };
            let Some(joined) = joined else {
                self.statistics.complete = false;
                self.visiting.abort_all();
                return None;
            };
            match joined? {
                Ok(visit) => {
                    let items = self.digest(visit);
                    if !items.is_empty() {
                        return Some(items);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "a visit broke off");
                    self.give_up(None);
                }
            }
        }
    }

    /// Why there is nothing to show, when no start page could be visited.
    pub(super) fn start_failure_of(&self, statistics: &Statistics) -> Option<&str> {
        let nothing = statistics.pages_fetched + statistics.pages_unchanged == 0;
        self.start_failure.as_deref().filter(|_| nothing)
    }

    /// Pages that were to be visited in this run.
    pub(super) fn known(&self) -> &HashSet<Url> {
        &self.known
    }

    /// Starts as many visits as may be under way at once, and waits for one to end. Cancel safe.
    async fn step(&mut self) -> Option<Result<Visit, tokio::task::JoinError>> {
        while self.visiting.len() < self.limits.concurrency.clamp(1, CONCURRENCY_MAX) {
            let Some(stop) = self.waiting.front().cloned() else { break };
            if !self.is_allowed(&stop.url).await {
                self.waiting.pop_front();
                self.statistics.pages_disallowed += 1;
                tracing::debug!(url = %stop.url, "robots.txt keeps us out");
                if stop.start {
                    self.start_failure.get_or_insert_with(|| format!("{}: robots.txt does not allow it", stop.url));
                }
                continue;
            }
            if self.pages_started >= self.limits.pages_max {
                self.statistics.pages_left_out = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
                self.statistics.complete = false;
                break;
            }
            self.waiting.pop_front();
            self.pages_started += 1;
            self.visiting.spawn(visit(Arc::clone(&self.tools), stop));
        }
        self.visiting.join_next().await
    }

    async fn is_allowed(&mut self, url: &Url) -> bool {
        let origin = origin(url);
        if !self.rules.contains_key(&origin) {
            let (rules, cost) = robots::fetch(&self.tools.fetcher, url).await;
            self.statistics.retries += u64::from(cost.retries);
            self.statistics.bytes += cost.bytes;
            if let Some(delay) = rules.crawl_delay() {
                self.tools.fetcher.pace.widen(delay);
            }
            if matches!(rules, Rules::Closed) {
                self.statistics.errors += 1;
                self.statistics.complete = false;
            }
            self.rules.insert(origin.clone(), rules);
        }
        self.rules.get(&origin).is_some_and(|rules| rules.allow(url))
    }

    /// Counts a visit and queues what it leads to.
    fn digest(&mut self, visit: Visit) -> Vec<Item> {
        let Visit { stop, outcome, retries, bytes } = visit;
        self.statistics.retries += u64::from(retries);
        self.statistics.bytes += bytes;
        let (visited, content) = match outcome {
            Outcome::Fetched(content) => {
                self.statistics.pages_fetched += 1;
                (Visited::Fetched, Some(content))
            }
            Outcome::Unchanged(content) => {
                self.statistics.pages_unchanged += 1;
                (Visited::Unchanged, Some(content))
            }
            Outcome::Redirect(to) => {
                if stop.hops < HOPS_MAX {
                    self.follow_redirect(&stop, to);
                } else {
                    self.give_up(Some((&stop, "too many redirects")));
                }
                (Visited::Other, None)
            }
            Outcome::Missing(status) => {
                self.statistics.pages_missing += 1;
                tracing::debug!(url = %stop.url, status, "missing page");
                if stop.start {
                    self.start_failure.get_or_insert_with(|| format!("{}: {status}", stop.url));
                }
                (Visited::Other, None)
            }
            Outcome::NoPage(content_type) => {
                self.statistics.pages_skipped += 1;
                tracing::debug!(url = %stop.url, content_type, "not HTML");
                if stop.start {
                    self.start_failure.get_or_insert_with(|| format!("{}: {content_type} is not HTML", stop.url));
                }
                (Visited::Other, None)
            }
            Outcome::Failed(reason) => {
                self.give_up(Some((&stop, &reason)));
                (Visited::Failed, None)
            }
        };
        let mut items = Vec::new();
        if let Some(content) = content {
            self.statistics.items_incomplete += content.incomplete;
            for url in content.next.into_iter().chain(content.links) {
                if self.in_scope(&url) {
                    self.admit(Stop { url, hops: 0, start: false });
                }
            }
            items = content.items;
        }
        self.meter.visited(visited, retries, self.waiting.len());
        items
    }

    fn follow_redirect(&mut self, from: &Stop, to: Url) {
        if from.start {
            // `http://example.org` may live at `https://www.example.org`.
            self.home.insert(origin(&to));
        }
        if self.in_scope(&to) {
            self.admit(Stop { url: to, hops: from.hops + 1, start: from.start });
        } else {
            tracing::debug!(url = %from.url, %to, "the redirect leaves the site");
        }
    }

    /// Other origins only where the pattern to follow says so in full.
    fn in_scope(&self, url: &Url) -> bool {
        let plan = &self.tools.plan;
        self.home.contains(&origin(url))
            || (plan.follow_leaves_home && plan.follow.as_ref().is_some_and(|follow| follow.is_match(url.as_str())))
    }

    fn admit(&mut self, stop: Stop) {
        let known_max = self.limits.pages_max.saturating_mul(KNOWN_PER_PAGE_MAX);
        if self.known.contains(&stop.url) {
            return;
        }
        if self.known.len() >= known_max {
            self.statistics.complete = false;
            return;
        }
        self.known.insert(stop.url.clone());
        self.waiting.push_back(stop);
    }

    fn give_up(&mut self, page: Option<(&Stop, &str)>) {
        self.statistics.errors += 1;
        self.statistics.complete = false;
        if let Some((stop, reason)) = page {
            tracing::warn!(url = %stop.url, reason, "page given up");
            if stop.start {
                self.start_failure.get_or_insert_with(|| format!("{}: {reason}", stop.url));
            }
        }
    }
}
