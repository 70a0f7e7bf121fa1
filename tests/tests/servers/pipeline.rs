//! Every role as a process of its own, with RabbitMQ, PostgreSQL, vsftpd and an SMTP server between them, and a leader
//! that dies in mid-flow.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use symphony::{config, shop};
use symphony_adapters::{
    broker::{self, Depth},
    database::{Page, StoredFile},
    http::api::{LeaderInfo, TraceResponse, TraceStep, TraceStepKind},
    item::Item,
};
use symphony_tests::{
    cluster::{Cluster, GRACE, TOKEN, programs},
    servers::{
        free_port,
        postgres::Postgres,
        rabbitmq::RabbitMq,
        smtp::{SmtpServer, subjects},
        trial,
        vsftpd::Vsftpd,
    },
    symphony::{PATIENCE, Symphony, Visitor, problem, until},
    terms::Watch,
};

use crate::PROGRAM;

const PRODUCTS: usize = 240;

pub(crate) fn trials() -> Vec<Trial> {
    let name = "pipeline::nothing_is_lost_or_doubled_when_the_leader_dies_in_mid_flow";
    vec![trial(name, &programs(&[Vsftpd::PROGRAM, SmtpServer::PROGRAM]), || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(the_leader_dies_in_mid_flow());
    })]
}

async fn the_leader_dies_in_mid_flow() {
    let mut servers = Servers::start();
    let shop = format!("127.0.0.1:{}", free_port());
    let cluster = servers.cluster(&shop);
    let visitor = Visitor::new();

    // The broker is away at first: whoever needs it waits, and says so.
    let mut roles: BTreeMap<String, Symphony> =
        ["shop", "manager"].map(|role| (role.to_owned(), cluster.start(role, &[]))).into();
    roles.extend(cluster.urls().keys().map(|id| (format!("web-{id}"), cluster.start_node(*id))));
    let alive = format!("{}/healthz", cluster.manager);
    until("life in the manager", || visitor.try_get(&alive)).await;
    let report = visitor.get(&format!("{}/readyz", cluster.manager)).await;
    assert_eq!(report.status(), StatusCode::SERVICE_UNAVAILABLE);
    servers.broker.start();
    let shop = format!("http://{shop}");
    for url in cluster.urls().values().chain([&cluster.manager, &shop]) {
        until(&format!("{url} to be ready"), || ready(&visitor, url)).await;
    }
    let leaders = cluster.urls().into_values().map(|url| format!("{url}/leader"));
    let watch = Watch::start(leaders.chain([format!("{}/v1/leader", cluster.manager)]).collect());

    let first = scrape(&cluster, &visitor).await;
    first.finish();
    let first = servers.data(1).await;
    assert_eq!(first.published, PRODUCTS);
    assert_eq!(visitor.products(&shop).await, PRODUCTS);
    servers.arrived(PRODUCTS).await;
    for url in cluster.urls().values() {
        assert_same(&visitor, url, &first).await;
    }
    files_and_mails_arrive(&servers, &cluster, &visitor, 1).await;
    an_item_is_traced(&cluster, &first).await;
    assert_errors_are_problems(&cluster, &visitor).await;

    // Prices have changed since. The leader goes while the second run brings them.
    let second = scrape(&cluster, &visitor).await;
    let old = leader(&cluster, &visitor).await;
    until("changed items", || async { (servers.changed().await > PRODUCTS / 10).then_some(()) }).await;
    roles.get_mut(&format!("web-{}", old.node)).unwrap().kill();
    let changed = servers.changed().await;
    assert!(changed < PRODUCTS, "all {changed} items were there before the leader could be killed");

    let killed = Instant::now();
    let new = until("a new leader for users", || async {
        let answer = visitor.try_get(&format!("{}/app/", cluster.manager)).await?;
        assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        let new = leader(&cluster, &visitor).await;
        let serves = location == format!("{}/app/", new.url.as_deref()?)
            && visitor.try_get(&location).await?.status() == StatusCode::OK
            && visitor.try_get(&format!("{}/leader", new.url.as_deref()?)).await?.status() == StatusCode::OK;
        (new.node != old.node && serves).then_some(new)
    })
    .await;
    println!("users reached a new leader {:?} after the old one was killed", killed.elapsed());
    assert!(new.term > old.term, "{old:?} {new:?}");

    second.finish();
    let second = servers.data(2).await;
    assert!(second.published > PRODUCTS / 2, "prices of {} products changed", second.published);
    servers.arrived(first.published + second.published).await;
    roles.insert(format!("web-{}", old.node), cluster.start_node(old.node));
    for url in cluster.urls().values() {
        until(&format!("{url} to be ready"), || ready(&visitor, url)).await;
        assert_same(&visitor, url, &second).await;
        let metrics = visitor.get(&format!("{url}/metrics")).await.text().await.unwrap();
        assert!(metrics.contains("symphony_http_requests_total"), "{metrics}");
        assert!(!metrics.contains("outcome=\"conflict\""), "{metrics}");
    }
    until("figures that name the leader", || leader_is_measured(&cluster, &visitor)).await;
    let metrics = visitor.get(&format!("{}/metrics", cluster.manager)).await.text().await.unwrap();
    for line in ["symphony_manager_ftp_look_timestamp_seconds 1", "symphony_dependency_up{dependency=\"ftp\"} 1"] {
        assert!(metrics.lines().any(|other| other.starts_with(line)), "{line}: {metrics}");
    }
    files_and_mails_arrive(&servers, &cluster, &visitor, 2).await;

    // Everybody is asked to end while a third run is under way.
    let mut third = cluster.start("scraper", &["--every", "1s"]);
    until("the scraper to be ready", || ready(&visitor, &cluster.scraper)).await;
    let before = servers.inbox().await;
    until("items of a third run", || async { (servers.inbox().await > before).then_some(()) }).await;
    let terms = watch.finish();
    roles.values().chain([&third]).for_each(|role| role.signal("TERM"));
    for role in roles.values_mut().chain([&mut third]) {
        role.succeed_within(GRACE);
    }
    assert!(terms.contains_key(&old.term) && terms.contains_key(&new.term), "{terms:?}");
    let depth = servers.depth().await;
    assert_eq!(depth.dead, 0);
    let (items, revisions) = servers.items().await;
    assert_eq!((items, revisions), (PRODUCTS, servers.inbox().await), "each message had its effect once");
}

/// Whether the leader, and nobody else, measures that it leads and may write.
async fn leader_is_measured(cluster: &Cluster, visitor: &Visitor) -> Option<()> {
    let leader = leader(cluster, visitor).await;
    for (node, url) in cluster.urls() {
        let metrics = visitor.try_get(&format!("{url}/metrics")).await?.text().await.ok()?;
        for what in ["symphony_leader", "symphony_promoted"] {
            let line = format!("{what}{{node=\"{node}\"}} {}", u8::from(node == leader.node));
            metrics.lines().find(|other| *other == line)?;
        }
    }
    Some(())
}

/// What stands around the roles.
struct Servers {
    broker: RabbitMq,
    _postgres: Postgres,
    database: String,
    ftp: Vsftpd,
    smtp: SmtpServer,
}

/// What a run of the scraper put on the file server.
struct Data {
    /// New or changed items.
    published: usize,
    items: BTreeMap<String, Item>,
}

impl Servers {
    /// All but the broker are started.
    fn start() -> Self {
        let postgres = Postgres::start();
        let database = postgres.create_database();
        let (ftp, smtp) = (Vsftpd::start(), SmtpServer::start());
        Self { broker: RabbitMq::new(), _postgres: postgres, database, ftp, smtp }
    }

    fn cluster(&self, shop: &str) -> Cluster {
        let more = format!(
            "[shop]\nlisten = \"{shop}\"\nproducts = {PRODUCTS}\nprice_change_every = \"100ms\"\n\n\
             [ftp]\naddress = \"{}\"\nuser = \"{}\"\npassword = \"any\"\nfolder = \"data\"\n\n\
             [mail]\nurl = \"smtp://{}?tls=none\"\nfrom = \"symphony@example.org\"\nto = [\"ops@example.org\"]\n",
            self.ftp.address(),
            Vsftpd::USER,
            self.smtp.address()
        );
        // A run takes some seconds at least.
        let site = config::Site { delay: Duration::from_millis(15), ..shop::site(&format!("http://{shop}")) };
        Cluster::new(PROGRAM, 3, &self.broker.url(), &self.database, &more, site)
    }

    /// The data of the run of this number, as vsftpd has them.
    async fn data(&self, run: usize) -> Data {
        let folder = self.ftp.home().join("data");
        let text = until("the run's data", || async { documents(&folder).into_iter().nth(run - 1) }).await;
        let document: Value = serde_json::from_str(&text).unwrap();
        let statistics = &document["statistics"];
        assert_eq!((&statistics["complete"], &statistics["errors"]), (&json!(true), &json!(0)), "{statistics}");
        let count = |name: &str| usize::try_from(statistics[name].as_u64().unwrap()).unwrap();
        let items: Vec<Item> = serde_json::from_value(document["items"].clone()).unwrap();
        assert_eq!(items.len(), PRODUCTS);
        Data {
            published: count("items_new") + count("items_changed"),
            items: items.into_iter().map(|item| (item.id.clone(), item)).collect(),
        }
    }

    /// Waits until this many messages had their effect, and asserts that no other has, and that none is left.
    async fn arrived(&self, published: usize) {
        until("all messages", || async { (self.inbox().await >= published).then_some(()) }).await;
        assert_eq!(self.inbox().await, published);
        assert_eq!(self.items().await, (PRODUCTS, published), "each item, once for each of its messages");
        until("an empty queue", || async { (self.depth().await == Depth::default()).then_some(()) }).await;
    }

    /// Messages that had their effect.
    async fn inbox(&self) -> usize {
        self.count("SELECT COUNT(*) FROM inbox").await
    }

    /// Items, and the states they have been in.
    async fn items(&self) -> (usize, usize) {
        let items = self.count("SELECT COUNT(DISTINCT id) FROM items").await;
        (items, self.count("SELECT COALESCE(SUM(revision), 0)::BIGINT FROM items").await)
    }

    /// Items that are not in their first state.
    async fn changed(&self) -> usize {
        self.count("SELECT COUNT(*) FROM items WHERE revision > 1").await
    }

    async fn count(&self, query: &'static str) -> usize {
        let mut session = PgConnection::connect(&self.database).await.unwrap();
        let count: i64 = sqlx::query_scalar(query).fetch_one(&mut session).await.unwrap();
        session.close().await.unwrap();
        usize::try_from(count).unwrap()
    }

    async fn depth(&self) -> Depth {
        let broker = broker::open(&self.broker.url(), &config::Broker::default().queue).await.unwrap();
        let depth = until("the queue's depth", || async { broker.depth().await.ok() }).await;
        broker.close().await;
        depth
    }
}

/// A scraper at work on a single run.
struct Run(Symphony);

/// Starts a run, and asks the scraper how it is. On a busy machine it may have ended before it was asked.
async fn scrape(cluster: &Cluster, visitor: &Visitor) -> Run {
    let mut run = cluster.start("scraper", &["--once"]);
    until("the scraper to be ready", || {
        let has_ended = !run.is_running();
        async move { if has_ended { Some(()) } else { ready(visitor, &cluster.scraper).await } }
    })
    .await;
    Run(run)
}

impl Run {
    fn finish(mut self) {
        self.0.succeed_within(PATIENCE);
    }
}

/// Whether a role is alive, ready and has metrics.
async fn ready(visitor: &Visitor, url: &str) -> Option<()> {
    for path in ["healthz", "readyz", "metrics"] {
        let answer = visitor.try_get(&format!("{url}/{path}")).await?;
        if answer.status() != StatusCode::OK {
            assert_eq!((path, answer.status()), ("readyz", StatusCode::SERVICE_UNAVAILABLE), "{url}");
            return None;
        }
    }
    Some(())
}

/// The leader, as the manager has it.
async fn leader(cluster: &Cluster, visitor: &Visitor) -> LeaderInfo {
    let url = format!("{}/v1/leader", cluster.manager);
    until("a leader", || visitor.try_json(&url)).await
}

/// Asserts that a node has the very items that the run found.
async fn assert_same(visitor: &Visitor, url: &str, data: &Data) {
    let stored = visitor.items(url).await;
    assert_eq!(stored.len(), data.items.len(), "{url}");
    for stored in stored {
        let expected = &data.items[&stored.item.id];
        // An unchanged page is not published again, so the time it was scraped at stays.
        let found = Item { scraped_at_ms: expected.scraped_at_ms, ..stored.item };
        assert_eq!(&found, expected, "{url}");
    }
}

/// Waits until both files of each run are in the database, as vsftpd has them, and mails about them and the leaders are
/// at the SMTP server.
async fn files_and_mails_arrive(servers: &Servers, cluster: &Cluster, visitor: &Visitor, runs: usize) {
    let url = cluster.urls().into_values().next_back().unwrap();
    let files = until("the files", || async {
        let page: Page<StoredFile> = visitor.try_json(&format!("{url}/v1/files?limit=200")).await?;
        (page.rows.len() >= 2 * runs).then_some(page.rows)
    })
    .await;
    assert_eq!(files.len(), 2 * runs, "{files:?}");
    for file in &files {
        let name = Path::new(&file.path).file_name().unwrap();
        let content = visitor.get(&format!("{url}/v1/files/{}/content", file.sha256)).await.bytes().await.unwrap();
        assert!(content == fs::read(servers.ftp.home().join("data").join(name)).unwrap(), "{name:?}");
    }
    let mails = until("the mails", || async {
        let subjects: Vec<String> = servers.smtp.received().iter().flat_map(|mail| subjects(mail)).collect();
        let about_leaders = subjects.iter().filter(|subject| subject.contains("leads in term")).count();
        (about_leaders >= runs && subjects.len() > about_leaders).then_some(subjects)
    })
    .await;
    println!("{mails:?}");
    let mut distinct = mails.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), mails.len(), "a mail came twice: {mails:?}");
}

/// Asserts that the command line knows the whole way of an item, in order.
async fn an_item_is_traced(cluster: &Cluster, data: &Data) {
    use TraceStepKind::{Delivered, Filed, Mailed, Queued, Scraped, Stored};
    let (id, item) = data.items.first_key_value().unwrap();
    let trace = until("mails about both files that the item is in", || async {
        let mut process = cluster.start_as("trace", "trace", &[id, "--json"], &[]);
        process.succeed();
        let trace: TraceResponse = serde_json::from_str(&process.output()).unwrap();
        let is_mailed = |step: &&TraceStep| step.step == Mailed && step.at_ms.is_some();
        (trace.steps.iter().filter(is_mailed).count() == 2).then_some(trace)
    })
    .await;
    let steps: BTreeSet<_> = trace.steps.iter().map(|step| step.step).collect();
    assert_eq!(steps, BTreeSet::from([Scraped, Queued, Delivered, Stored, Filed, Mailed]));
    assert!(trace.steps.is_sorted_by_key(|step| step.at_ms), "{trace:?}");
    assert_eq!(trace.steps[0].at_ms, Some(item.scraped_at_ms));
    let way: Vec<_> = trace.steps.iter().map(|step| step.step).take(4).collect();
    assert_eq!(way, [Scraped, Queued, Delivered, Stored]);
}

/// The runs' documents in JSON, the earliest first.
fn documents(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    // What is on its way has another name.
    paths.retain(|path| {
        path.extension().is_some_and(|extension| extension == "json")
            && !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
    });
    paths.sort();
    paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

async fn assert_errors_are_problems(cluster: &Cluster, visitor: &Visitor) {
    let leader = leader(cluster, visitor).await;
    let follower = cluster.urls().into_iter().find(|(id, _)| *id != leader.node).unwrap().1;
    visitor.problem(&format!("{follower}/v1/items/none"), 404).await;
    visitor.problem(&format!("{follower}/v1/items?limit=0"), 400).await;
    visitor.problem(&format!("{}/v1/nowhere", cluster.manager), 404).await;
    let write = visitor.client().post(format!("{follower}/v1/items")).header("symphony-term", leader.term);
    let write = write.json(&json!({"items": []}));
    problem(write.try_clone().unwrap().send().await.unwrap(), 401).await;
    let misdirected = problem(write.bearer_auth(TOKEN).send().await.unwrap(), 421).await;
    assert_eq!(misdirected["term"], leader.term, "{misdirected}");
    let usurper = json!({"term": leader.term - 1, "node": 9, "url": "http://127.0.0.1:9"});
    let stale = visitor.client().put(format!("{}/v1/leader", cluster.manager)).json(&usurper);
    problem(stale.try_clone().unwrap().send().await.unwrap(), 401).await;
    problem(stale.bearer_auth(TOKEN).send().await.unwrap(), 409).await;
}
