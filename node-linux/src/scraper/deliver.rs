//! Files on their way to the file server: kept in the state folder until they are there.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, macros::format_description};
use tokio::{
    fs, io,
    sync::{Notify, watch},
    time::timeout,
};

use super::{Upload, backoff::Backoff, files, progress::Progress, report::Report};

/// Files waiting at most, per site. While the file server is away for longer, no further data are written; the first
/// run after it is back writes what is current then.
const WAITING_MAX: usize = 200;

const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_LONGEST: Duration = Duration::from_secs(60);

/// What was last put on its way.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Last {
    data: String,
    /// Seconds since the Unix epoch: the stamp in the names of its files.
    stamp: i64,
}

/// The files of one site that wait for their upload.
#[derive(Clone)]
pub(super) struct Outgoing {
    folder: PathBuf,
    last: PathBuf,
    mark: PathBuf,
}

impl Outgoing {
    pub(super) fn new(state: &Path) -> Self {
        Self { folder: state.join("outgoing"), last: state.join("delivered.json"), mark: state.join("mark") }
    }

    /// Puts a run's data on their way, unless they are the same as last time. Returns the number of files.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) async fn put(&self, slug: &str, report: &Report<'_>) -> io::Result<usize> {
        let last = files::read(&self.last).await?.and_then(|bytes| serde_json::from_slice::<Last>(&bytes).ok());
        let data = report.data_digest();
        if last.as_ref().is_some_and(|last| last.data == data) {
            tracing::debug!(site = report.site, "same data as last time: no upload");
            return Ok(0);
        }
        fs::create_dir_all(&self.folder).await?;
        if files::names(&self.folder).await?.len() >= WAITING_MAX {
            tracing::warn!(site = report.site, WAITING_MAX, "too many files wait for their upload: none added");
            return Ok(0);
        }
        // Two runs within a second still have names of their own.
        let earliest = last.map_or(i64::MIN, |last| last.stamp.saturating_add(1));
        let stamp = report.started_at.unix_timestamp().max(earliest);
        let name = format!("{slug}-{}-{}", file_stamp(stamp)?, self.mark().await?);
        files::replace(&self.folder.join(format!("{name}.json")), report.to_json()?).await?;
        files::replace(&self.folder.join(format!("{name}.csv")), report.to_csv().map_err(io::Error::other)?).await?;
        files::replace(&self.last, serde_json::to_vec(&Last { data, stamp })?).await?;
        Ok(2)
    }

    /// What sets this scraper's files apart from those of another that scrapes the same site in the same second.
    async fn mark(&self) -> io::Result<String> {
        if let Some(mark) = files::read(&self.mark).await?.and_then(|mark| String::from_utf8(mark).ok()) {
            return Ok(mark);
        }
        let mark = format!("{:08x}", rand::random::<u32>());
        files::replace(&self.mark, mark.clone().into_bytes()).await?;
        Ok(mark)
    }
}

/// Uploads what waits in the folders of all sites.
pub(super) struct Delivery {
    pub(super) outgoing: Vec<Outgoing>,
    pub(super) upload: Arc<dyn Upload>,
    pub(super) progress: Arc<watch::Sender<Progress>>,
    /// Told when there are new files.
    pub(super) arrived: Arc<Notify>,
}

impl Delivery {
    /// Uploads for ever.
    pub(super) async fn keep_on(&self) {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_LONGEST);
        loop {
            match self.upload_all().await {
                Ok(()) => {
                    backoff.reset();
                    self.arrived.notified().await;
                }
                Err(reason) => {
                    let delay = backoff.next();
                    tracing::warn!(reason, ?delay, "not everything is uploaded");
                    tokio::time::sleep(delay).await;
                }
            }
        }
    }

    /// Uploads until nothing is left, at most `attempts` times.
    ///
    /// # Errors
    /// Why the last attempt failed; the files stay for the next start.
    pub(super) async fn finish(&self, attempts: u32) -> Result<(), String> {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_LONGEST);
        let mut result = self.upload_all().await;
        for _ in 1..attempts {
            if result.is_ok() {
                break;
            }
            tokio::time::sleep(backoff.next()).await;
            result = self.upload_all().await;
        }
        result
    }

    /// One attempt for each file; one that fails does not keep the others.
    async fn upload_all(&self) -> Result<(), String> {
        let mut result = Ok(());
        for outgoing in &self.outgoing {
            let names = files::names(&outgoing.folder).await.map_err(|error| error.to_string())?;
            for name in names {
                if let Err(reason) = self.upload_one(&outgoing.folder.join(&name), &name).await {
                    tracing::debug!(name, reason, "not uploaded yet");
                    metrics::counter!("symphony_scraper_upload_failures_total").increment(1);
                    self.progress.send_modify(|progress| progress.totals.upload_failures += 1);
                    result = Err(format!("{name}: {reason}"));
                }
            }
        }
        result
    }

    async fn upload_one(&self, path: &Path, name: &str) -> Result<(), String> {
        let content = fs::read(path).await.map_err(|error| error.to_string())?;
        let bytes = content.len();
        match timeout(UPLOAD_TIMEOUT, self.upload.upload(name, content)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("not done after {UPLOAD_TIMEOUT:?}")),
        }
        fs::remove_file(path).await.map_err(|error| error.to_string())?;
        tracing::info!(name, bytes, "uploaded");
        metrics::counter!("symphony_scraper_files_uploaded_total").increment(1);
        self.progress.send_modify(|progress| progress.totals.files_uploaded += 1);
        Ok(())
    }
}

/// `20261123T180518Z`
fn file_stamp(seconds: i64) -> io::Result<String> {
    let at = OffsetDateTime::from_unix_timestamp(seconds).map_err(io::Error::other)?;
    at.format(format_description!("[year][month][day]T[hour][minute][second]Z")).map_err(io::Error::other)
}
