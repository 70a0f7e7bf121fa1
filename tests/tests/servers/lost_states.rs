//! All nodes lose their records, and the database is what it was.

use std::fs;

use libtest_mimic::Trial;
use reqwest::StatusCode;
use sqlx::{Connection as _, PgConnection};
use symphony::shop;
use symphony_adapters::http::api::{ItemsRequest, LeaderInfo, TERM_HEADER};
use symphony_tests::{
    cluster::{Cluster, GRACE, TOKEN},
    database::incoming,
    servers::{
        postgres::{PROGRAMS, Postgres},
        trial,
    },
    symphony::{Symphony, Visitor, until},
};

use crate::PROGRAM;

/// Terms that the records knew of and are forgotten.
const TERMS_LOST: u64 = 40;

pub(crate) fn trials() -> Vec<Trial> {
    let run = |case: fn() -> std::pin::Pin<Box<dyn Future<Output = ()>>>| {
        move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(case());
        }
    };
    vec![
        trial(
            "lost_states::a_cluster_that_lost_all_records_writes_again_beyond_the_fence",
            PROGRAMS,
            run(|| Box::pin(all_records_lost())),
        ),
        trial(
            "lost_states::a_second_cluster_on_one_database_never_leads_and_says_why",
            PROGRAMS,
            run(|| Box::pin(a_second_cluster())),
        ),
    ]
}

async fn all_records_lost() {
    let postgres = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let database = postgres.create_database();
    let (cluster, visitor) = (cluster(3, &database), Visitor::new());
    let nodes = start(&cluster);
    let before = leader_that_stores(&cluster, &visitor, 0, 1).await;
    tokio::task::spawn_blocking(|| nodes.into_iter().for_each(|mut node| node.stop(GRACE))).await.unwrap();

    for id in cluster.urls().keys() {
        fs::remove_file(cluster.folder().join(format!("node-{id}.state"))).unwrap();
    }
    // As if there had been as many elections before.
    let fence = before.term + TERMS_LOST;
    let mut session = PgConnection::connect(&database).await.unwrap();
    let raise = format!("UPDATE fence SET term = {fence}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(raise)).execute(&mut session).await.unwrap();

    let _nodes = start(&cluster);
    leader_that_stores(&cluster, &visitor, fence, 2).await;
    let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM items").fetch_one(&mut session).await.unwrap();
    assert_eq!(rows, 2);
}

async fn a_second_cluster() {
    let postgres = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let database = postgres.create_database();
    let (first, second, visitor) = (cluster(1, &database), cluster(1, &database), Visitor::new());
    let _first = start(&first);
    leader_after(&first, &visitor, 0).await;

    let name = [("SYMPHONY_NODE__CLUSTER", "the-other".to_owned())];
    let _second = second.start_node_by(PROGRAM, 1, &name);
    let url = format!("{}/readyz", second.urls()[&1]);
    let why = until("the second cluster to be refused", async || {
        let answer = visitor.try_get(&url).await.filter(|answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE)?;
        answer.text().await.ok().filter(|text| text.contains("fence") && text.contains("end-to-end"))
    })
    .await;
    println!("{why}");
    leader_that_stores(&first, &visitor, 0, 1).await;
}

fn cluster(nodes: u16, database: &str) -> Cluster {
    Cluster::new(PROGRAM, nodes, "amqp://127.0.0.1:1", database, "", shop::site("http://127.0.0.1:1"))
}

fn start(cluster: &Cluster) -> Vec<Symphony> {
    cluster.urls().keys().map(|id| cluster.start_node(*id)).collect()
}

/// Waits for a leader of a later term than this, that may write.
async fn leader_after(cluster: &Cluster, visitor: &Visitor, term: u64) -> LeaderInfo {
    until("a leader", async || {
        for url in cluster.urls().values() {
            let answer = visitor.try_get(&format!("{url}/leader")).await;
            let Some(answer) = answer.filter(|answer| answer.status() == StatusCode::OK) else { continue };
            let leader = answer.json::<LeaderInfo>().await.ok().filter(|leader| leader.term > term);
            if leader.is_some() {
                return leader;
            }
        }
        None
    })
    .await
}

/// Waits until a leader of a later term than this, whoever it is by then, has stored an item.
async fn leader_that_stores(cluster: &Cluster, visitor: &Visitor, term: u64, number: usize) -> LeaderInfo {
    until("an item stored", async || {
        let leader = leader_after(cluster, visitor, term).await;
        (store(cluster, visitor, &leader, number).await? == StatusCode::OK).then_some(leader)
    })
    .await
}

/// Asks a leader to store an item, and returns the status of the answer; none if there is no answer.
async fn store(cluster: &Cluster, visitor: &Visitor, leader: &LeaderInfo, number: usize) -> Option<StatusCode> {
    let request = visitor.client().post(format!("{}/v1/items", cluster.urls()[&leader.node]));
    let request = request.bearer_auth(TOKEN).header(TERM_HEADER, leader.term);
    Some(request.json(&ItemsRequest { items: vec![incoming(number)] }).send().await.ok()?.status())
}
