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
    let before = leader_after(&cluster, &visitor, 0).await;
    assert_eq!(store(&cluster, &visitor, &before, 1).await, StatusCode::OK);
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
    let after = leader_after(&cluster, &visitor, fence).await;
    assert_eq!(store(&cluster, &visitor, &after, 2).await, StatusCode::OK);
    let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM items").fetch_one(&mut session).await.unwrap();
    assert_eq!(rows, 2);
}

async fn a_second_cluster() {
    let postgres = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let database = postgres.create_database();
    let (first, second, visitor) = (cluster(1, &database), cluster(1, &database), Visitor::new());
    let _first = start(&first);
    let leader = leader_after(&first, &visitor, 0).await;

    let name = [("SYMPHONY_NODE__CLUSTER", "the-other".to_owned())];
    let _second = second.start_node_by(PROGRAM, 1, &name);
    let url = format!("{}/readyz", second.urls()[&1]);
    let why = until("the second cluster to be refused", async || {
        let answer = visitor.try_get(&url).await.filter(|answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE)?;
        answer.text().await.ok().filter(|text| text.contains("fence") && text.contains("end-to-end"))
    })
    .await;
    println!("{why}");
    assert_eq!(store(&first, &visitor, &leader, 1).await, StatusCode::OK);
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

async fn store(cluster: &Cluster, visitor: &Visitor, leader: &LeaderInfo, number: usize) -> StatusCode {
    let request = visitor.client().post(format!("{}/v1/items", cluster.urls()[&leader.node]));
    let request = request.bearer_auth(TOKEN).header(TERM_HEADER, leader.term);
    request.json(&ItemsRequest { items: vec![incoming(number)] }).send().await.unwrap().status()
}
