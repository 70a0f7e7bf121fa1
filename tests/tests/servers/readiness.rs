//! What makes a web node ready, and what does not make it less so.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use reqwest::StatusCode;
use sqlx::{Connection as _, PgConnection};
use symphony::shop;
use symphony_tests::{
    cluster::Cluster,
    database::run,
    servers::{
        postgres::{PROGRAMS, Postgres},
        trial,
    },
    symphony::{Visitor, until},
};

use crate::PROGRAM;

/// Several signs of life, and more than the longest wait for one.
const WATCH: Duration = Duration::from_secs(8);

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("readiness::a_node_whose_tables_take_long_to_read_stays_ready", PROGRAMS, || {
        let postgres = Postgres::start();
        run(tables_that_take_long(postgres.create_database()));
    })]
}

async fn tables_that_take_long(database: String) {
    let cluster = Cluster::new(PROGRAM, 1, "amqp://127.0.0.1:1", &database, "", shop::site("http://127.0.0.1:1"));
    let _node = cluster.start_node(1);
    let (visitor, url) = (Visitor::new(), format!("{}/readyz", cluster.urls()[&1]));
    let ready = async || visitor.try_get(&url).await.filter(|answer| answer.status() == StatusCode::OK);
    until("a node that is ready", ready).await;

    // Whoever looks into a table now waits.
    let mut holder = PgConnection::connect(&database).await.unwrap();
    let hold = "BEGIN; LOCK TABLE items, files, mails IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(hold).execute(&mut holder).await.unwrap();
    let begun = Instant::now();
    while begun.elapsed() < WATCH {
        assert!(ready().await.is_some(), "not ready after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
