//! Looks at who leads, again and again, from every side: terms only rise, and none has two leaders.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use symphony_adapters::http::api::LeaderInfo;
use tokio::task::JoinHandle;

use crate::symphony::Visitor;

/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A watch over the manager and the web nodes.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    leaders: BTreeMap<u64, u16>,
    latest: BTreeMap<String, u64>,
    wrong: Vec<String>,
}

impl Watch {
    /// Starts to ask each of `urls` who leads; one that does not answer is asked again.
    #[must_use]
    pub fn start(urls: Vec<String>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                let visitor = Visitor::new();
                loop {
                    for url in &urls {
                        // A node that does not lead answers 503 with the leader that it knows.
                        let Some(answer) = visitor.try_get(url).await else { continue };
                        if let Ok(leader) = answer.json::<LeaderInfo>().await {
                            seen.lock().unwrap().note(url, &leader);
                        }
                    }
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
            }
        });
        Self { seen, task }
    }

    /// Ends the watch, and returns the leader of each term.
    #[must_use]
    pub fn finish(self) -> BTreeMap<u64, u16> {
        self.task.abort();
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        assert!(seen.wrong.is_empty(), "{:?}", seen.wrong);
        seen.leaders
    }
}

impl Seen {
    fn note(&mut self, url: &str, leader: &LeaderInfo) {
        let LeaderInfo { term, node, .. } = leader;
        let latest = self.latest.entry(url.to_owned()).or_default();
        if term < latest {
            self.wrong.push(format!("{url} went back from term {latest} to {term}"));
        }
        *latest = *term;
        let first = self.leaders.entry(*term).or_insert(*node);
        if first != node {
            self.wrong.push(format!("term {term} has the leaders {first} and {node}"));
        }
    }
}
