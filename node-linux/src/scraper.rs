//! Scraper role: visits sites as configured, publishes what is new or changed, uploads the processed data.
//!
//! Where it goes: from the start pages along `next` and along links that match `follow`, each page once. It stays on
//! the origins of the start pages (and of those they redirect to), unless `follow` names a scheme (`://`): then any
//! matching URL may be visited. robots.txt is obeyed under the name `symphony`.
//!
//! What it keeps, in one folder per site below [`config::Scraper::state`]:
//! - `pages/`: per page its validators and what it held, so that a 304 is as good as the page;
//! - `journal.jsonl`: what has been published and what was about to be. A publication is written down before the broker
//!   hears of it and settled when the broker has confirmed it: after a crash it is sent again under the same message
//!   id, and never lost. One line per item that was ever seen stays;
//! - `outgoing/`: processed data on their way to the file server, `delivered.json`: what was last put there. A run
//!   whose items are the same as last time puts nothing there;
//! - `mark`: a part of the names of those files that no other scraper has.

mod address;
mod backoff;
mod crawl;
mod decimal;
mod deliver;
mod extract;
mod fetch;
mod files;
mod journal;
mod money;
mod pace;
mod pages;
mod plan;
mod progress;
mod publish;
mod report;
mod robots;
mod run;
pub mod terminal;
pub mod trace;
mod visit;

use std::{collections::HashSet, fs::File, io, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use symphony_adapters::{broker::Broker, tls::Tls};
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::config;
use deliver::Delivery;
use plan::Plan;
pub use progress::{Progress, SiteProgress, Totals};
use run::{SiteRunner, Surroundings};

/// Sites scraped at once.
const SITES_AT_ONCE: usize = 4;

/// Attempts to upload before a single run gives up.
const UPLOAD_ATTEMPTS: u32 = 6;

/// After a shutdown, uploads under way get this long.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// Where processed data go.
#[async_trait]
pub trait Upload: Send + Sync + 'static {
    /// Puts a file there, whole or not at all: under a temporary name first. The same name may come again, with the
    /// same content.
    ///
    /// # Errors
    /// [`UploadError`]: the file stays with the scraper, which tries again.
    async fn upload(&self, name: &str, content: Vec<u8>) -> Result<(), UploadError>;
}

/// Why a file did not get there, in the words of whoever carries it.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct UploadError(pub String);

/// Why the scraper stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScrapeError {
    /// A site's configuration cannot be used.
    #[error("site {site:?}: {reason}")]
    Configuration {
        /// [`config::Site::name`].
        site: String,
        /// The key and what is wrong with it.
        reason: String,
    },
    /// The state folder cannot be used.
    #[error("{}: {error}", folder.display())]
    State {
        /// The folder.
        folder: PathBuf,
        /// In the system's words.
        error: io::Error,
    },
    /// Another scraper uses the state folder.
    #[error("{}: another scraper is using this folder", .0.display())]
    StateInUse(PathBuf),
    /// In a single run, no page of a site could be fetched.
    #[error("site {site:?}: nothing could be fetched: {reason}")]
    Unreachable {
        /// [`config::Site::name`].
        site: String,
        /// Of the first start page.
        reason: String,
    },
    /// After a single run, files were not uploaded; they wait in the state folder for the next run.
    #[error("not uploaded: {0}")]
    NotUploaded(String),
}

/// Scrapes all sites, once or every [`config::Scraper::every`], until `shutdown` is cancelled.
///
/// A broker or a file server that is away is waited for, as long as the scraper runs. A TLS provider must be installed.
///
/// # Errors
/// [`ScrapeError::Configuration`] and [`ScrapeError::StateInUse`] at once; the others only when there is a single run:
/// otherwise they are logged and the next run tries again.
pub async fn run(
    settings: config::Scraper,
    tls: &Tls,
    broker: Arc<dyn Broker>,
    upload: Arc<dyn Upload>,
    progress: watch::Sender<Progress>,
    shutdown: CancellationToken,
) -> Result<(), ScrapeError> {
    let progress = Arc::new(progress);
    let arrived = Arc::new(Notify::new());
    let around = Surroundings {
        state: &settings.state,
        tls,
        broker,
        progress: Arc::clone(&progress),
        arrived: Arc::clone(&arrived),
        shutdown: shutdown.clone(),
    };
    let sites = prepare(&settings, &around)?;
    let _lock = lock(&settings.state)?;
    let delivery = Delivery {
        outgoing: sites.iter().map(SiteRunner::outgoing).collect(),
        upload,
        progress: Arc::clone(&progress),
        arrived,
    };
    let rounds = async {
        loop {
            let result = round(&sites).await;
            progress.send_modify(|progress| progress.runs_finished += 1);
            let Some(every) = settings.every else { return result };
            if let Err(error) = result {
                tracing::error!(%error, "run failed");
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(every) => {}
            }
            if shutdown.is_cancelled() {
                return Ok(());
            }
        }
    };
    let result = tokio::select! {
        result = rounds => result,
        () = delivery.keep_on() => Ok(()),
    };
    let delivered = tokio::select! {
        delivered = delivery.finish(UPLOAD_ATTEMPTS) => delivered,
        () = async { shutdown.cancelled().await; tokio::time::sleep(SHUTDOWN_GRACE).await } => Ok(()),
    };
    match (result, delivered) {
        (Err(error), _) => Err(error),
        (Ok(()), Err(reason)) if !shutdown.is_cancelled() => Err(ScrapeError::NotUploaded(reason)),
        (Ok(()), _) => Ok(()),
    }
}

fn prepare(settings: &config::Scraper, around: &Surroundings<'_>) -> Result<Vec<SiteRunner>, ScrapeError> {
    let mut slugs = HashSet::new();
    let prepare_site = |site: &config::Site| {
        let plan = Plan::compile(site)?;
        if !slugs.insert(plan.slug.clone()) {
            let reason = "name: another site has this name, or one as good as equal".to_owned();
            return Err(ScrapeError::Configuration { site: site.name.clone(), reason });
        }
        SiteRunner::new(site, plan, around)
    };
    settings.sites.iter().map(prepare_site).collect()
}

/// Scrapes all sites once. One that fails does not keep the others; its error is returned in the end.
async fn round(sites: &[SiteRunner]) -> Result<(), ScrapeError> {
    let mut results = stream::iter(sites).map(SiteRunner::run).buffer_unordered(SITES_AT_ONCE);
    let mut round = Ok(());
    while let Some(result) = results.next().await {
        if let Err(error) = &result {
            tracing::warn!(%error, "site failed");
        }
        round = round.and(result);
    }
    round
}

/// Two scrapers in one folder would send each other's leftovers.
fn lock(state: &std::path::Path) -> Result<File, ScrapeError> {
    let failed = |error| ScrapeError::State { folder: state.to_owned(), error };
    std::fs::create_dir_all(state).map_err(failed)?;
    let file = File::create(state.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(ScrapeError::StateInUse(state.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}
