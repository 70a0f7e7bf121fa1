//! One batch to the leader, whoever that is by then; a bad item in it is found and takes no other down.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use symphony_adapters::{
    broker::Delivery,
    database::{Incoming, Leader, Outcome},
    http::{
        ClientError, Dependency, WebClient,
        api::{ItemResult, ItemsRequest},
    },
};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{batch::Entry, settle};
use crate::{
    backoff::Backoff,
    manager::{dead_letters::DeadLetters, route::Route},
};

/// Attempts at one POST, with a leader that answers, before the items in it are suspected.
const ATTEMPTS_MAX: u32 = 3;
/// Shortest and longest wait between attempts.
const WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// Shortest and longest wait between two looks at a leader that is not ready.
const LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Settlements under way at once.
const SETTLEMENTS_MAX: usize = 16;

/// How long messages stay here when things go wrong.
#[derive(Clone, Copy, Debug)]
pub(in crate::manager) struct Patience {
    /// Time for a batch to find a leader that takes it, before its messages go back to the queue.
    pub(in crate::manager) hold: Duration,
    /// Time for the POST in flight when the manager stops.
    pub(in crate::manager) drain: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { hold: Duration::from_secs(60), drain: Duration::from_secs(8) }
    }
}

/// Takes batches to the leader.
pub(in crate::manager) struct Courier {
    client: WebClient,
    route: Route,
    dead_letters: DeadLetters,
    leader_health: Dependency,
    deliveries_max: u64,
    patience: Patience,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// Every message is settled for good, or is back in the queue for its own fault.
    All,
    /// The leader took nothing: the messages are back in the queue.
    Nothing,
    /// Told to stop: what was not settled is back in the queue.
    Stopped,
}

/// What became of one POST and its repetitions.
enum Answer {
    /// 2xx.
    Results(Vec<ItemResult>),
    /// The leader says that the content is bad.
    Refused(String),
    /// The leader is well, and fails with this.
    Failed(String),
    /// No leader took it in time.
    Nobody,
    /// Told to stop.
    Stopped,
}

impl Courier {
    pub(in crate::manager) fn new(
        client: WebClient,
        route: Route,
        dead_letters: DeadLetters,
        leader_health: Dependency,
        deliveries_max: u64,
        patience: Patience,
    ) -> Self {
        Self { client, route, dead_letters, leader_health, deliveries_max, patience }
    }

    /// Waits until a leader is known and ready, which includes its database.
    pub(super) async fn leader_ready(&self) {
        let mut routes = self.route.subscribe();
        let mut backoff = Backoff::new(LOOK.0, LOOK.1);
        loop {
            // The route outlives the wait: it is ours.
            let leader = routes.wait_for(Option::is_some).await.map(|leader| leader.clone());
            let Ok(Some(leader)) = leader else { return };
            routes.mark_unchanged();
            match self.client.readiness(&leader.url).await {
                Ok(()) => {
                    self.leader_health.up();
                    return;
                }
                Err(error) => {
                    self.leader_health.down(error.to_string());
                    self.route.doubt();
                }
            }
            tokio::select! {
                _ = routes.changed() => backoff.reset(),
                () = sleep(backoff.next_wait()) => {}
            }
        }
    }

    /// Delivers entries and settles their messages.
    ///
    /// A POST that is refused or fails is halved until the bad item stands alone. An item that the leader refuses is a
    /// dead letter. One that makes the leader fail is tried again after the leader has taken others, because until then
    /// the leader may have been to blame; if it fails again, it is a dead letter after its last delivery.
    pub(super) async fn deliver(&self, entries: Vec<Entry>, shutdown: &CancellationToken) -> Delivered {
        let give_up = Instant::now() + self.patience.hold;
        let mut waiting = vec![entries];
        let mut suspects = Vec::new();
        let (mut taken, mut judged) = (false, false);
        let mut ended = Delivered::All;
        while let Some(mut part) = waiting.pop() {
            match self.post(&part, give_up, shutdown).await {
                Answer::Results(results) => {
                    (taken, judged) = (true, true);
                    self.settle(part, results).await;
                }
                Answer::Refused(reason) | Answer::Failed(reason) if part.len() > 1 => {
                    tracing::info!(items = part.len(), reason, "looking for the item to blame");
                    let second = part.split_off(part.len() / 2);
                    waiting.extend([second, part]);
                }
                Answer::Refused(reason) => {
                    judged = true;
                    self.reject(part, &reason).await;
                }
                Answer::Failed(_) => suspects.push(part),
                stop @ (Answer::Nobody | Answer::Stopped) => {
                    ended = if matches!(stop, Answer::Stopped) { Delivered::Stopped } else { Delivered::Nothing };
                    waiting.push(part);
                    break;
                }
            }
        }
        if ended == Delivered::All && !judged {
            ended = Delivered::Nothing;
        }
        if ended == Delivered::All && taken {
            for suspect in suspects {
                self.hear_again(suspect, give_up, shutdown).await;
            }
        } else {
            waiting.extend(suspects);
        }
        requeue(waiting.into_iter().flatten()).await;
        ended
    }

    /// The second attempt at an item that made the leader fail before it took others.
    async fn hear_again(&self, suspect: Vec<Entry>, give_up: Instant, shutdown: &CancellationToken) {
        match self.post(&suspect, give_up, shutdown).await {
            Answer::Results(results) => self.settle(suspect, results).await,
            Answer::Refused(reason) => self.reject(suspect, &reason).await,
            Answer::Failed(reason) => {
                let is_last = |entry: &Entry| deliveries(&entry.delivery) >= self.deliveries_max;
                let (condemned, spared): (Vec<_>, Vec<_>) = suspect.into_iter().partition(is_last);
                let reason = format!("not stored in {} deliveries; the last: {reason}", self.deliveries_max);
                self.reject(condemned, &reason).await;
                requeue(spared).await;
            }
            Answer::Nobody | Answer::Stopped => requeue(suspect).await,
        }
    }

    /// One POST, repeated until somebody says something about its content.
    async fn post(&self, entries: &[Entry], give_up: Instant, shutdown: &CancellationToken) -> Answer {
        let request = request(entries);
        let mut backoff = Backoff::new(WAIT.0, WAIT.1);
        let mut failures = 0;
        let mut routes = self.route.subscribe();
        loop {
            let known = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Answer::Stopped,
                known = timeout_at(give_up, routes.wait_for(Option::is_some)) => known,
            };
            let Ok(Ok(Some(leader))) = known.map(|known| known.map(|leader| leader.clone())) else {
                return Answer::Nobody;
            };
            routes.mark_unchanged();
            let answer = tokio::select! {
                answer = self.client.store_items(&leader.url, leader.token.term, &request) => answer,
                () = self.drained(shutdown) => return Answer::Stopped,
            };
            let answer = answer.and_then(|response| matching(entries, response.results));
            match answer {
                Ok(results) => {
                    self.leader_health.up();
                    tracing::debug!(items = entries.len(), term = leader.token.term, "items stored");
                    return Answer::Results(results);
                }
                Err(ClientError::Refused { status, problem }) if problem.is_about_content() => {
                    self.leader_health.up();
                    return Answer::Refused(format!("{status}: {}", problem.detail.unwrap_or(problem.title)));
                }
                Err(ClientError::NotLeader { term, leader: other }) => {
                    tracing::info!(asked = leader.token.term, ?term, "not the leader any more");
                    self.leader_health.down("the node we know does not lead");
                    self.route.follow_node(other);
                }
                Err(error) => {
                    tracing::warn!(url = leader.url, %error, items = entries.len(), "items not stored yet");
                    self.leader_health.down(error.to_string());
                    failures += 1;
                    if failures >= ATTEMPTS_MAX && self.is_well(&leader).await {
                        return Answer::Failed(error.to_string());
                    }
                }
            }
            self.route.doubt();
            let wait = backoff.next_wait();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Answer::Stopped,
                _ = routes.changed() => backoff.reset(),
                () = sleep(wait) => {}
            }
            if Instant::now() >= give_up {
                return Answer::Nobody;
            }
        }
    }

    /// Ends when the time for the POST in flight is over.
    async fn drained(&self, shutdown: &CancellationToken) {
        shutdown.cancelled().await;
        sleep(self.patience.drain).await;
    }

    /// Whether the leader still says that it leads, and has all that it needs.
    async fn is_well(&self, leader: &Leader) -> bool {
        let answer = self.client.leader(&leader.url).await;
        matches!(answer, Ok(Some(info)) if info.term == leader.token.term)
            && self.client.readiness(&leader.url).await.is_ok()
    }

    async fn settle(&self, entries: Vec<Entry>, results: Vec<ItemResult>) {
        stream::iter(entries.into_iter().zip(results))
            .for_each_concurrent(SETTLEMENTS_MAX, |(entry, result)| async move {
                match result.outcome {
                    Outcome::Stored | Outcome::Duplicate => settle::ack(entry.delivery).await,
                    Outcome::Conflict => {
                        let reason = "409: this message id was used before for another item";
                        settle::reject(entry.delivery, reason, &self.dead_letters).await;
                    }
                }
            })
            .await;
    }

    async fn reject(&self, entries: Vec<Entry>, reason: &str) {
        for entry in entries {
            settle::reject(entry.delivery, reason, &self.dead_letters).await;
        }
    }
}

async fn requeue(entries: impl IntoIterator<Item = Entry>) {
    stream::iter(entries).for_each_concurrent(SETTLEMENTS_MAX, |entry| settle::requeue(entry.delivery)).await;
}

/// Deliveries of a message so far, this one among them.
fn deliveries(delivery: &Delivery) -> u64 {
    delivery.redeliveries.saturating_add(1)
}

fn request(entries: &[Entry]) -> ItemsRequest {
    let incoming = |entry: &Entry| Incoming {
        queued_at_ms: entry.delivery.published_at_ms,
        delivered_at_ms: Some(entry.delivered_at_ms),
        ..Incoming::new(entry.message_id(), entry.item.clone())
    };
    ItemsRequest { items: entries.iter().map(incoming).collect() }
}

/// The results, if there is one for each entry, in order.
fn matching(entries: &[Entry], results: Vec<ItemResult>) -> Result<Vec<ItemResult>, ClientError> {
    let ids = entries.iter().map(Entry::message_id);
    if ids.eq(results.iter().map(|result| result.message_id.as_str())) {
        Ok(results)
    } else {
        Err(ClientError::Unavailable("the results are not those of the request".into()))
    }
}
