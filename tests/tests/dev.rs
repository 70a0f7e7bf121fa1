//! `symphony dev`: the whole pipeline in one process, from one command, without any server.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed step fails the test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};
use symphony::config;
use symphony_adapters::broker::{self, Depth};
use symphony_tests::symphony::{PATIENCE, Symphony, Visitor, problem, until};

/// Linked from the same sources as this test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_symphony-under-test");

/// The longest that `dev` takes to end: what is in flight may finish, and each leader hands over.
const GRACE: Duration = Duration::from_secs(60);

/// The longest that a full pass takes, and more than `dev` itself waits for it.
const PASS_TIME_MAX: Duration = Duration::from_secs(360);

#[test]
fn one_command_takes_a_whole_shop_to_the_database_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut terms = Vec::new();
    for round in 1..=2 {
        // One scrape, however soon the next would come.
        let mut pass = start(folder.path(), "once", &["--once", "--json", "--set", "scraper.every=1ms"]);
        pass.succeed_within(PASS_TIME_MAX);
        let output = pass.output();
        let pass: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
        let figure = |name: &str| pass[name].as_u64().unwrap_or_else(|| panic!("{name} of {pass}"));
        assert_eq!((figure("items_scraped"), figure("items_stored")), (240, 240), "round {round}");
        assert!((1..=3).contains(&figure("leader")), "{pass}");
        assert!(figure("files_delivered") >= 1 && figure("mails") >= 1, "{pass}");
        assert!(figure("elapsed_ms") >= 1, "{pass}");
        assert!((1..=120).contains(&figure("peak_rss_mb")), "{pass}");
        terms.push(figure("term"));
    }
    assert!(terms[0] >= 1 && terms[1] > terms[0], "terms only rise: {terms:?}");
    let mails = folder.path().join("data/mail").read_dir().unwrap().count();
    assert!(mails >= 3, "a mail for each leader and one for the files, not {mails}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_item_arrives_once_though_the_leader_is_stopped_in_mid_flow() {
    let folder = tempfile::tempdir().unwrap();
    // One run, long enough to be interrupted.
    let settings = ["--set", "shop.products=900", "--set", "scraper.every=1h"];
    let mut dev = Dev::start(folder.path(), "dev", &settings).await;
    let visitor = Visitor::new();
    let products = visitor.products(&dev.base("shop")).await;
    assert_eq!(products, 900);

    let old = until("a leader", || dev.leader()).await;
    let witness = dev.nodes().await.into_iter().find(|node| node.id != old.id).unwrap();
    let seen = until("the first items", || async {
        let stored = stored(&visitor, &witness.url).await?;
        (stored > 0).then_some(stored)
    })
    .await;
    assert!(seen < products, "all {seen} items were there before the leader could be stopped");
    problem(dev.bare_post(old.id, "stop").send().await.unwrap(), 401).await;
    assert_eq!(dev.post("leader", "stop").await.status(), StatusCode::NO_CONTENT);

    let stopped = dev.nodes().await.into_iter().find(|node| node.id == old.id).unwrap();
    assert!(!stopped.running && stopped.role.is_none(), "{stopped:?}");
    assert!(visitor.try_get(&format!("{}/leader", old.url)).await.is_none(), "a stopped node answers");
    problem(dev.post(old.id, "stop").await, 409).await;
    problem(dev.post(9, "stop").await, 404).await;

    let new = until("another leader", || dev.leader()).await;
    assert!(new.id != old.id && new.term > old.term, "{old:?} {new:?}");
    until("all items", || async { (stored(&visitor, &witness.url).await? == products).then_some(()) }).await;
    until("users at the new leader", || async {
        let answer = visitor.try_get(&format!("{}/app/", dev.base("start"))).await?;
        assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
        (answer.headers()["location"] == format!("{}/app/", new.url)).then_some(())
    })
    .await;

    assert_eq!(dev.post(old.id, "start").await.status(), StatusCode::NO_CONTENT);
    problem(dev.post(old.id, "start").await, 409).await;
    until("the old leader as a follower", || async {
        let node = dev.nodes().await.into_iter().find(|node| node.id == old.id)?;
        let follows = node.role.as_deref() == Some("follower") && node.leader == Some(new.id);
        (follows && node.term >= Some(new.term)).then_some(())
    })
    .await;
    assert_eq!(visitor.get(&format!("{}/leader", old.url)).await.status(), StatusCode::SERVICE_UNAVAILABLE);

    // Each node shows the same: every product, once, in the one state it was scraped in.
    for node in dev.nodes().await {
        let items = visitor.items(&node.url).await;
        let ids: BTreeSet<_> = items.iter().map(|stored| stored.item.id.as_str()).collect();
        assert_eq!((items.len(), ids.len()), (products, products), "on node {}", node.id);
        assert!(items.iter().all(|stored| stored.revision == 1), "on node {}", node.id);
        let terms: BTreeSet<_> = items.iter().map(|stored| stored.term).collect();
        assert!(terms.contains(&old.term) && terms.contains(&new.term), "both leaders stored some: {terms:?}");
    }
    dev.process.stop(GRACE);
    let mut database = open(&folder.path().join("data/symphony.db")).await;
    let inbox: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM inbox").fetch_one(&mut database).await.unwrap();
    assert_eq!(usize::try_from(inbox), Ok(products), "each message had its effect once");
    let queue = format!("sqlite:{}", folder.path().join("data/queue.db").display());
    let queue = broker::open(&queue, &config::Broker::default().queue).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), Depth::default(), "nothing waits, and nothing is set aside");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_share_the_machine_and_not_the_folder() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Where nothing else has these ports, this takes care that something does.
    let taken: Vec<_> =
        [8000, 8081, 8099].into_iter().filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).collect();
    let held: Vec<_> = taken.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
    // At the same time, so that they meet at every port.
    let (mut first, mut second) =
        tokio::join!(Dev::start(one.path(), "first", &[]), Dev::start(two.path(), "second", &[]));
    drop(taken);
    let visitor = Visitor::new();
    let mut addresses = BTreeSet::new();
    for dev in [&first, &second] {
        for name in ["start", "shop", "web-1", "web-2", "web-3", "ftp", "control"] {
            assert!(addresses.insert(dev.authority(name)), "{name} of one is at the address of another");
        }
    }
    assert!(held.iter().all(|address| !addresses.contains(address)), "{held:?} were taken: {addresses:?}");
    for dev in [&first, &second] {
        until("a leader", || dev.leader()).await;
        let node = dev.base("web-2");
        until("items", || async { (stored(&visitor, &node).await? > 0).then_some(()) }).await;
    }

    let mut third = start(one.path(), "third", &[]);
    assert_eq!(third.wait(), Some(1));
    assert!(third.log().contains("another"), "{}", third.log());
    assert!(first.process.is_running(), "{}", first.process.log());
    // The token is still that of the first.
    problem(first.post(9, "stop").await, 404).await;

    first.process.stop(GRACE);
    second.process.stop(GRACE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_does_not_wait_for_what_is_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    // Unless told, the log has errors alone.
    let mut dev = Dev::start(folder.path(), "dev", &["--set", "log.filter=info"]).await;
    until("a leader", || dev.leader()).await;
    let manager = dev.authority("start");
    let mut slow = TcpStream::connect(&manager).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        slow,
        "PUT /v1/leader HTTP/1.1\r\nHost: {manager}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\
         Expect: 100-continue\r\n\r\n"
    )
    .unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100", "the manager reads the body, which never comes");

    dev.process.signal("TERM");
    until("the first signal's effect", || async { dev.process.log().contains("asked to end").then_some(()) }).await;
    assert!(dev.process.is_running(), "the request in flight was not waited for");
    dev.process.signal("TERM");
    assert_eq!(dev.process.wait(), Some(128 + 15));
}

/// Starts `dev` with its data in a folder below `folder`.
fn start(folder: &Path, name: &str, arguments: &[&str]) -> Symphony {
    // On a busy machine a heartbeat may be late.
    let patience = ["--set", "node.election_timeout_min=1500ms", "--set", "node.election_timeout_max=3s"];
    let arguments = ["dev", "--data", "data"].iter().chain(&patience).chain(arguments);
    Symphony::start(PROGRAM, folder, name, arguments, &[])
}

/// A running `dev`.
struct Dev {
    process: Symphony,
    /// From the table that it prints: what is where.
    table: BTreeMap<String, String>,
    visitor: Visitor,
    folder: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: u16,
    url: String,
    running: bool,
    role: Option<String>,
    term: Option<u64>,
    leader: Option<u16>,
}

#[derive(Debug)]
struct Leader {
    id: u16,
    url: String,
    term: u64,
}

impl Dev {
    /// Returns when everything is started.
    async fn start(folder: &Path, name: &str, arguments: &[&str]) -> Self {
        let mut process = start(folder, name, arguments);
        let table = until("the table", || {
            assert!(process.is_running(), "{}{}", process.output(), process.log());
            let table = process.output();
            async move { read_table(&table) }
        })
        .await;
        let visitor = Visitor::new();
        until("the control", || {
            assert!(process.is_running(), "{}{}", process.output(), process.log());
            visitor.try_json::<Vec<Node>>(&table["control"])
        })
        .await;
        Self { process, table, visitor, folder: folder.to_owned() }
    }

    /// Base URL of what the table has under this name.
    fn base(&self, name: &str) -> String {
        format!("http://{}", self.authority(name))
    }

    /// `host:port` of what the table has under this name.
    fn authority(&self, name: &str) -> String {
        self.table[name].split('/').nth(2).unwrap().to_owned()
    }

    async fn nodes(&self) -> Vec<Node> {
        self.visitor.json(&self.table["control"]).await
    }

    async fn leader(&self) -> Option<Leader> {
        let nodes = self.nodes().await;
        let leads = |node: &&Node| node.role.as_deref() == Some("leader");
        let leader = nodes.iter().filter(leads).max_by_key(|node| node.term)?;
        Some(Leader { id: leader.id, url: leader.url.clone(), term: leader.term? })
    }

    async fn post(&self, node: impl Display, action: &str) -> reqwest::Response {
        let token = fs::read_to_string(self.folder.join(&self.table["token"])).unwrap();
        self.bare_post(node, action).bearer_auth(token).send().await.unwrap()
    }

    fn bare_post(&self, node: impl Display, action: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/{node}/{action}", self.table["control"]);
        self.visitor.client().post(url).timeout(PATIENCE)
    }
}

/// The rows of the table that is printed at the start, once it is whole: a name, then an address or a folder.
fn read_table(output: &str) -> Option<BTreeMap<String, String>> {
    let rows = output.lines().filter_map(|line| line.strip_prefix("  ")).map(|row| {
        let mut words = row.split_whitespace().map(str::to_owned);
        Some((words.next()?, words.next()?))
    });
    let table: BTreeMap<_, _> = rows.collect::<Option<_>>()?;
    // The row of the control is the last.
    table.contains_key("control").then_some(table)
}

/// Items that a node counts.
async fn stored(visitor: &Visitor, node: &str) -> Option<usize> {
    let status: Value = visitor.try_json(&format!("{node}/v1/status")).await?;
    usize::try_from(status["counts"]["items"].as_u64()?).ok()
}

async fn open(path: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite:{}?mode=ro", path.display())).await.unwrap()
}
