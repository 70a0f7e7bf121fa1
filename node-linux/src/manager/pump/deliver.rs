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
    manager::{answer::speaks_of_content, dead_letters::DeadLetters, route::Route},
};

/// Attempts at one POST, with a leader that answers, before the items in it are suspected.
const ATTEMPTS_MAX: u32 = 3;
/// Shortest and longest wait between attempts.
const WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
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
    /// The leader answers others, and fails with this.
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

    /// Waits until a leader is known.
    pub(super) async fn leader_known(&self) {
        // The route outlives the wait: it is ours.
        let _ = self.route.subscribe().wait_for(Option::is_some).await;
    }

    /// Delivers entries and settles their messages.
    ///
    /// A POST that is refused or fails is halved until the bad item stands alone. An item that the leader refuses is a
    /// dead letter. One that makes the leader fail, while the leader takes others, is a dead letter after its last
    /// delivery; while the leader takes nothing at all, no item is to blame.
    pub(super) async fn deliver(&self, entries: Vec<Entry>, shutdown: &CancellationToken) -> Delivered {
        let give_up = Instant::now() + self.patience.hold;
        let mut waiting = vec![entries];
        let mut suspects: Vec<(Entry, String)> = Vec::new();
        let mut judged = false;
        let mut ended = Delivered::All;
        while let Some(mut part) = waiting.pop() {
            match self.post(&part, give_up, shutdown).await {
                Answer::Results(results) => {
                    judged = true;
                    self.settle(part, results).await;
                }
                Answer::Refused(reason) | Answer::Failed(reason) if part.len() > 1 => {
                    tracing::info!(items = part.len(), reason, "looking for the item to blame");
                    let second = part.split_off(part.len() / 2);
                    waiting.extend([second, part]);
                }
                Answer::Refused(reason) => {
                    judged = true;
                    for entry in part {
                        settle::reject(entry.delivery, &reason, &self.dead_letters).await;
                    }
                }
                Answer::Failed(reason) => suspects.extend(part.into_iter().map(|entry| (entry, reason.clone()))),
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
        for (entry, reason) in suspects {
            self.settle_suspect(entry, &reason, judged).await;
        }
        stream::iter(waiting.into_iter().flatten())
            .for_each_concurrent(SETTLEMENTS_MAX, |entry| settle::requeue(entry.delivery))
            .await;
        ended
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
                Err(ClientError::Refused { status, problem }) if speaks_of_content(status) => {
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
                    if failures >= ATTEMPTS_MAX && self.answers(&leader).await {
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

    /// Whether the leader still says that it leads.
    async fn answers(&self, leader: &Leader) -> bool {
        let answer = self.client.leader(&leader.url).await;
        matches!(answer, Ok(Some(info)) if info.term == leader.token.term)
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

    async fn settle_suspect(&self, entry: Entry, reason: &str, others_passed: bool) {
        let deliveries = deliveries(&entry.delivery);
        if others_passed && deliveries >= self.deliveries_max {
            let reason = format!("not stored in {deliveries} deliveries; the last: {reason}");
            settle::reject(entry.delivery, &reason, &self.dead_letters).await;
        } else {
            settle::requeue(entry.delivery).await;
        }
    }
}

/// Deliveries of a message so far, this one among them.
fn deliveries(delivery: &Delivery) -> u64 {
    delivery.redeliveries.saturating_add(1)
}

fn request(entries: &[Entry]) -> ItemsRequest {
    let incoming = |entry: &Entry| Incoming { message_id: entry.message_id().to_owned(), item: entry.item.clone() };
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
