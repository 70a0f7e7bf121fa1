//! A scraper that runs over and over.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    cluster::Cluster,
    servers::disk::Disk,
    symphony::{Symphony, until},
};

/// Longest time of one run: it goes on while the broker is away.
const RUN_TIME_MAX: Duration = Duration::from_secs(300);

/// Bytes of the scraper's disk: its journal, and files that could not be uploaded yet.
const DISK_SIZE: usize = 16 * 1024 * 1024;

/// Where the scraper keeps its state, on its disk.
const STATE: &str = "disk-scraper/state";

/// The scraper, its disk, and what is known of its runs.
pub(super) struct Scraper {
    cluster: Arc<Cluster>,
    pub(super) disk: Disk,
    program: PathBuf,
    /// The item of each message that was published, by the message's id.
    published: Mutex<BTreeMap<String, String>>,
    may_fail: AtomicBool,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl Scraper {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        let disk = Disk::mount(&cluster.folder().join("disk-scraper"), DISK_SIZE);
        let program = cluster.folder().join("on-disk-scraper");
        disk.write_program(&program, cluster.program());
        Self {
            cluster,
            disk,
            program,
            published: Mutex::default(),
            may_fail: AtomicBool::new(false),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// The item of each message that was published, by the message's id.
    pub(super) fn published(&self) -> BTreeMap<String, String> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets runs fail, until one has failed.
    pub(super) async fn fails(&self) {
        self.may_fail.store(true, SeqCst);
        let before = self.failed.load(SeqCst);
        until("a run to fail", async || (self.failed.load(SeqCst) > before).then_some(())).await;
    }

    /// Waits for a run that began after this and succeeded, and lets none fail from then on.
    pub(super) async fn recovers(&self) {
        // The run under way may have begun before.
        let before = self.succeeded.load(SeqCst) + 1;
        until("a run to succeed", async || (self.succeeded.load(SeqCst) > before).then_some(())).await;
        self.may_fail.store(false, SeqCst);
    }

    async fn run(&self) -> Result<(), String> {
        let state = [("SYMPHONY_SCRAPER__STATE", STATE.to_owned())];
        let program = self.program.display().to_string();
        let scraper = self.cluster.start_by(&program, "scraper", "scraper", &["--once"], &state);
        let result = ended(scraper).await;
        self.read_journal();
        match result {
            Ok(()) => self.succeeded.fetch_add(1, SeqCst),
            Err(_) if self.may_fail.load(SeqCst) => self.failed.fetch_add(1, SeqCst),
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// A run tells of an item once, and the next one first of what the last one could not send. So after each, the journal
    /// has every message id there is, also of a run that failed.
    fn read_journal(&self) {
        let state = self.disk.path().join("state");
        let sites = fs::read_dir(state).into_iter().flatten().flatten();
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        for site in sites {
            published.extend(messages(&site.path().join("journal.jsonl")));
        }
    }
}

/// Message and item of every line of a journal; one that was torn off was never published.
fn messages(journal: &Path) -> Vec<(String, String)> {
    let journal = fs::read_to_string(journal).unwrap_or_default();
    let message = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let (about, item) = match line.get("sent") {
            Some(sent) => (sent, sent.get("id")),
            None => (line.get("sending")?, line.pointer("/sending/item/id")),
        };
        Some((about.get("message_id")?.as_str()?.to_owned(), item?.as_str()?.to_owned()))
    };
    journal.lines().filter_map(message).collect()
}

/// Runs of a scraper, one after the other, each a process.
pub(super) struct Feed {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), String>>,
}

impl Feed {
    pub(super) fn start(scraper: Arc<Scraper>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            while !*stopped.borrow() {
                scraper.run().await?;
            }
            Ok(())
        });
        Self { stop, task }
    }

    /// Lets the run that is under way end.
    ///
    /// # Errors
    /// A run failed.
    pub(super) async fn finish(self) -> Result<(), String> {
        self.stop.send_replace(true);
        self.task.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

async fn ended(mut scraper: Symphony) -> Result<(), String> {
    let begun = Instant::now();
    while scraper.is_running() {
        if begun.elapsed() > RUN_TIME_MAX {
            return Err(format!("a run of the scraper does not end:\n{}", scraper.log()));
        }
        sleep(Duration::from_millis(20)).await;
    }
    match scraper.wait() {
        Some(0) => Ok(()),
        code => Err(format!("the scraper ended with {code:?}:\n{}", scraper.log())),
    }
}
