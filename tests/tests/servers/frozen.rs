//! A leader that is frozen in mid-flow and thawed long after another has taken over.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use reqwest::StatusCode;
use sqlx::{Connection as _, PgConnection};
use symphony::shop;
use symphony_adapters::http::api::{ItemsRequest, LeaderInfo, TERM_HEADER};
use symphony_tests::{
    cluster::{Cluster, ELECTION_TIMEOUT_MAX, TOKEN},
    database::incoming,
    servers::{
        postgres::{PROGRAMS, Postgres},
        trial,
    },
    symphony::{Symphony, Visitor, until},
};
use tokio::task::JoinSet;

use crate::PROGRAM;

/// How long the leader is frozen.
const FREEZE: Duration = ELECTION_TIMEOUT_MAX.saturating_mul(10);
/// Requests to the leader at any time.
const WRITERS: usize = 4;
/// Requests that wait at the frozen leader's door.
const WAITING: usize = 20;
/// Items in one request.
const BATCH: usize = 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("frozen::a_leader_that_was_frozen_cannot_write_one_row_once_thawed", PROGRAMS, || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(a_frozen_leader());
    })]
}

async fn a_frozen_leader() {
    let postgres = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let database = postgres.create_database();
    // No web node talks to the broker, and nobody scrapes.
    let cluster = Cluster::new(PROGRAM, 3, "amqp://127.0.0.1:1", &database, "", shop::site("http://127.0.0.1:1"));
    let nodes: BTreeMap<u16, Symphony> = cluster.urls().keys().map(|id| (*id, cluster.start_node(*id))).collect();
    let visitor = Visitor::new();
    let old = until("a leader", || leader(&cluster, &visitor)).await;

    let flow = Flow::new(&cluster, &old);
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        writers.spawn(flow.clone().write_until_refused(number));
    }
    until("a flow of writes", || async { (flow.stored().len() > 20 * BATCH).then_some(()) }).await;
    nodes[&old.node].signal("STOP");
    let frozen = Instant::now();
    let new =
        until("a new leader", || async { leader(&cluster, &visitor).await.filter(|new| new.term > old.term) }).await;
    let at_promotion = rows_of(&database, old.term).await;
    println!("a new leader {:?} after the old one froze; rows of its term: {at_promotion:?}", frozen.elapsed());

    // Its kernel takes them; the process will find them first of all.
    let mut waiting = JoinSet::new();
    for number in 0..WAITING {
        let flow = flow.clone();
        waiting.spawn(async move { flow.write(1_000_000 + number * BATCH).await });
    }
    assert_eq!(Flow::new(&cluster, &new).write(2_000_000).await, Some(StatusCode::OK));
    tokio::time::sleep(FREEZE.saturating_sub(frozen.elapsed())).await;
    assert_eq!(rows_of(&database, old.term).await, at_promotion, "nobody writes for a frozen leader");

    nodes[&old.node].signal("CONT");
    while let Some(answer) = waiting.join_next().await {
        assert_eq!(answer.unwrap(), Some(StatusCode::MISDIRECTED_REQUEST));
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    for term in [old.term, new.term] {
        let late = Flow { leader: LeaderInfo { term, ..old.clone() }, ..flow.clone() };
        assert_eq!(late.write(3_000_000).await, Some(StatusCode::MISDIRECTED_REQUEST), "in term {term}");
    }
    let thawed = format!("{}/leader", cluster.urls()[&old.node]);
    until("the thawed node to know of another leader", async || {
        let known: LeaderInfo = visitor.try_get(&thawed).await?.json().await.ok()?;
        (known.term >= new.term).then_some(())
    })
    .await;
    assert_eq!(rows_of(&database, old.term).await, at_promotion, "the thawed leader wrote");
    let inbox = message_ids(&database, old.term).await;
    assert!(flow.stored().is_subset(&inbox), "what was acknowledged is there");
    until("a write of whoever leads now", async || {
        let now = Flow::new(&cluster, &leader(&cluster, &visitor).await?);
        (now.write(4_000_000).await? == StatusCode::OK).then_some(())
    })
    .await;
}

/// The node that leads, by its own account.
async fn leader(cluster: &Cluster, visitor: &Visitor) -> Option<LeaderInfo> {
    for url in cluster.urls().into_values() {
        // A frozen node never answers.
        let asked = visitor.client().get(format!("{url}/leader")).timeout(Duration::from_secs(1)).send().await;
        let Some(answer) = asked.ok().filter(|answer| answer.status() == StatusCode::OK) else { continue };
        return answer.json().await.ok();
    }
    None
}

/// Writes for one leader and its term, whatever others say.
#[derive(Clone)]
struct Flow {
    leader: LeaderInfo,
    visitor: Visitor,
    stored: Arc<Mutex<BTreeSet<String>>>,
}

impl Flow {
    fn new(cluster: &Cluster, leader: &LeaderInfo) -> Self {
        let leader = LeaderInfo { url: cluster.urls().remove(&leader.node), ..leader.clone() };
        Self { leader, visitor: Visitor::new(), stored: Arc::default() }
    }

    /// Ids of the messages that were acknowledged.
    fn stored(&self) -> BTreeSet<String> {
        self.stored.lock().unwrap().clone()
    }

    /// One batch after the other. The answer to the one in flight while the leader is frozen may get lost.
    async fn write_until_refused(self, writer: usize) {
        for round in 0.. {
            let answer = self.write((writer * 10_000 + round) * BATCH).await;
            if answer == Some(StatusCode::MISDIRECTED_REQUEST) {
                return;
            }
        }
    }

    /// Sends one batch, and returns the status of the answer; none if there is no answer.
    async fn write(&self, first: usize) -> Option<StatusCode> {
        let request = ItemsRequest { items: (first..first + BATCH).map(incoming).collect() };
        let url = format!("{}/v1/items", self.leader.url.as_deref().unwrap());
        let post = self.visitor.client().post(url).bearer_auth(TOKEN).header(TERM_HEADER, self.leader.term);
        let status = post.json(&request).send().await.ok()?.status();
        if status.is_success() {
            self.stored.lock().unwrap().extend(request.items.into_iter().map(|incoming| incoming.message_id));
        }
        Some(status)
    }
}

/// Rows of a term, table by table.
async fn rows_of(database: &str, term: u64) -> BTreeMap<String, i64> {
    let mut session = PgConnection::connect(database).await.unwrap();
    let rows = sqlx::query_as::<_, (String, i64)>(
        "SELECT t, COUNT(*) FROM (SELECT 'inbox' AS t, term FROM inbox UNION ALL SELECT 'items', term FROM items \
         UNION ALL SELECT 'files', term FROM files UNION ALL SELECT 'file_ledger', term FROM file_ledger \
         UNION ALL SELECT 'dead_files', term FROM dead_files UNION ALL SELECT 'mails', term FROM mails) AS every WHERE term = $1 GROUP BY t",
    )
    .bind(i64::try_from(term).unwrap())
    .fetch_all(&mut session)
    .await
    .unwrap();
    rows.into_iter().collect()
}

async fn message_ids(database: &str, term: u64) -> BTreeSet<String> {
    let mut session = PgConnection::connect(database).await.unwrap();
    let ids = sqlx::query_scalar("SELECT message_id FROM inbox WHERE term = $1").bind(i64::try_from(term).unwrap());
    ids.fetch_all(&mut session).await.unwrap().into_iter().collect()
}
