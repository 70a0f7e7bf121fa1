//! The pipeline: servers, roles, and what stands between them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "without a pipeline there is nothing to count"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    future::Future,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use reqwest::StatusCode;
use symphony::{config, shop};
use symphony_adapters::{
    broker::{self, Broker, Message},
    database::Database,
    http::api::LeaderInfo,
    item::Item,
};
use tokio::{
    task::block_in_place,
    time::{Instant, sleep},
};

use super::{
    account::{self, Account, Scraped, Stored, audit, difference, differing, prepare},
    feed::{Feed, Scraper},
};
use crate::{
    cluster::{Cluster, GRACE},
    proxy::Proxy,
    servers::{
        PASSIVE_PORTS,
        disk::Disk,
        free_port,
        postgres::Postgres,
        rabbitmq::RabbitMq,
        smtp::{SmtpServer, subjects},
    },
    symphony::{PATIENCE, Symphony, Visitor, until},
};

/// Products of the shop that is scraped. Prices change faster than it can be scraped, so every run brings all of them.
const PRODUCTS: usize = 300;

/// Time between two requests to the shop: so that a run is a stream and not a burst.
const PAGE_EVERY: Duration = Duration::from_millis(5);

/// Web nodes.
pub(super) const NODES: u16 = 3;

/// Bytes of a node's disk.
const DISK_SIZE: usize = 256 * 1024;

/// Time to settle: whoever waits for a server looks for it every 15 seconds at the least.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(180);

/// Messages that show that something flows.
const FLOW: u64 = 10;

pub(super) struct World {
    pub(super) rabbitmq: RabbitMq,
    pub(super) postgres: Postgres,
    database: String,
    pub(super) cluster: Arc<Cluster>,
    pub(super) visitor: Visitor,
    /// Between manager and broker.
    pub(super) to_broker: Proxy,
    /// Between manager and each node.
    pub(super) to_nodes: BTreeMap<u16, Proxy>,
    /// Each node has its state on a disk of its own, where there may be one.
    pub(super) disks: BTreeMap<u16, Disk>,
    pub(super) scraper: Arc<Scraper>,
    smtp: SmtpServer,
    files: PathBuf,
    /// Our own eye on the queues.
    broker: Arc<dyn Broker>,
    bad: BTreeSet<String>,
    _fixed: Vec<Symphony>,
    manager: Option<Symphony>,
    nodes: BTreeMap<u16, Symphony>,
    latest: Account,
}

/// Counts from which a fault counts on.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub(super) scraped: u64,
    pub(super) stored: u64,
    pub(super) terms: u64,
    pub(super) recognised: u64,
}

impl World {
    /// Starts everything, and waits until it is ready.
    pub(super) async fn start(program: &str) -> Self {
        let rabbitmq = block_in_place(RabbitMq::started);
        let postgres = block_in_place(|| Postgres::start_with(&["track_commit_timestamp=on"]));
        let database = block_in_place(|| postgres.create_database());
        Database::open(&database).await.expect("a schema").close().await;
        prepare(&database).await;

        let smtp = block_in_place(SmtpServer::start);
        let (shop_address, ftp) = (format!("127.0.0.1:{}", free_port()), free_port());
        let (passive_min, passive_max) = (PASSIVE_PORTS.start(), PASSIVE_PORTS.end());
        let more = format!(
            "[shop]\nlisten = \"{shop_address}\"\nproducts = {PRODUCTS}\nprice_change_every = \"10ms\"\n\n\
             [ftp]\naddress = \"127.0.0.1:{ftp}\"\nuser = \"symphony\"\npassword = \"any-password\"\n\n\
             [ftp_server]\nlisten = \"127.0.0.1:{ftp}\"\noperations = \"127.0.0.1:{}\"\nroot = \"files\"\n\
             user = \"symphony\"\npassword = \"any-password\"\npassive_port_min = {passive_min}\npassive_port_max = {passive_max}\n\n\
             [mail]\nurl = \"smtp://{}?tls=none\"\nfrom = \"symphony@example.org\"\nto = [\"ops@example.org\"]\n",
            free_port(),
            smtp.address()
        );
        let site = config::Site { delay: PAGE_EVERY, ..shop::site(&format!("http://{shop_address}")) };
        let cluster = Arc::new(Cluster::new(program, NODES, &rabbitmq.url(), &database, &more, site));
        let mut to_nodes = BTreeMap::new();
        for (id, url) in cluster.urls() {
            to_nodes.insert(id, Proxy::start(&url).await);
        }
        let files = cluster.folder().join("files");
        fs::create_dir_all(&files).expect("a folder for files");
        let mount = |id| (id, Disk::mount(&cluster.folder().join(format!("disk-{id}")), DISK_SIZE));
        let disks = (1..=NODES).map(mount).collect();
        let mut world = Self {
            to_broker: Proxy::start(&rabbitmq.url()).await,
            broker: broker::open(&rabbitmq.url(), &config::Broker::default().queue).await.expect("a URL"),
            rabbitmq,
            postgres,
            database,
            visitor: Visitor::new(),
            to_nodes,
            disks,
            scraper: Arc::new(Scraper::new(Arc::clone(&cluster))),
            smtp,
            files,
            bad: BTreeSet::new(),
            _fixed: vec![cluster.start("shop", &[]), cluster.start("ftp", &[])],
            manager: None,
            nodes: BTreeMap::new(),
            cluster,
            latest: Account::default(),
        };
        (1..=NODES).for_each(|id| world.start_node(id));
        world.start_manager();
        world.ready().await;
        let shop = format!("http://{shop_address}/readyz");
        until("the shop", async || world.visitor.try_get(&shop).await.filter(|answer| answer.status().is_success()))
            .await;
        world
    }

    /// Lets the scraper run until told otherwise.
    pub(super) fn feed(&self) -> Feed {
        Feed::start(Arc::clone(&self.scraper))
    }

    /// Starts a node, also again.
    pub(super) fn start_node(&mut self, id: u16) {
        let url = ("SYMPHONY_WEB__URL", self.to_nodes[&id].url());
        let state = ("SYMPHONY_NODE__STATE", format!("disk-{id}/node.state"));
        let wrapper = self.cluster.folder().join(format!("on-disk-{id}"));
        self.disks[&id].write_program(&wrapper, self.cluster.program());
        let node = self.cluster.start_node_by(&wrapper.display().to_string(), id, &[url, state]);
        self.nodes.insert(id, node);
    }

    /// Starts the manager, also again.
    pub(super) fn start_manager(&mut self) {
        let web: Vec<_> = self.to_nodes.values().map(|proxy| format!("{:?}", proxy.url())).collect();
        let variables =
            [("SYMPHONY_BROKER__URL", self.to_broker.url()), ("SYMPHONY_MANAGER__WEB", format!("[{}]", web.join(",")))];
        self.manager = Some(self.cluster.start_as("manager", "manager", &[], &variables));
    }

    /// Ends a node at once.
    pub(super) fn kill_node(&mut self, id: u16) {
        block_in_place(|| self.nodes.get_mut(&id).expect("a node").kill());
    }

    /// Freezes or thaws the manager.
    pub(super) fn signal_manager(&self, name: &str) {
        self.manager.as_ref().expect("a manager").signal(name);
    }

    /// Ends the manager at once.
    pub(super) fn kill_manager(&mut self) {
        let mut manager = self.manager.take().expect("a manager");
        block_in_place(|| manager.kill());
    }

    /// Waits until every role is ready.
    pub(super) async fn ready(&self) {
        for url in self.cluster.urls().values().chain([&self.cluster.manager]) {
            let url = format!("{url}/readyz");
            let is_ready = async || self.visitor.try_get(&url).await.filter(|answer| answer.status() == StatusCode::OK);
            until(&url, is_ready).await;
        }
    }

    /// Waits for a leader of a later term than this, by its own account.
    pub(super) async fn leader_after(&self, term: u64) -> LeaderInfo {
        until("a leader", async || {
            for url in self.cluster.urls().into_values() {
                let asked = self.visitor.client().get(format!("{url}/leader")).timeout(Duration::from_secs(1)).send();
                let Some(answer) = asked.await.ok().filter(|answer| answer.status() == StatusCode::OK) else {
                    continue;
                };
                let Ok(leader) = answer.json::<LeaderInfo>().await else { continue };
                if leader.term > term {
                    return Some(leader);
                }
            }
            None
        })
        .await
    }

    /// What the database has; waits while it is away.
    pub(super) async fn stored(&self) -> Stored {
        until("the database", async || audit(&self.database).await.ok()).await
    }

    /// Waits until more items have arrived: the fault strikes in mid-stream.
    pub(super) async fn flows(&self) {
        let before = self.stored().await.messages;
        until("more items", async || (self.stored().await.messages >= before + FLOW).then_some(())).await;
    }

    /// Publishes messages that can never be stored.
    pub(super) async fn publish_bad(&mut self, count: usize) {
        for _ in 0..count {
            let id = format!("bad-{}", self.bad.len());
            let body = format!("not an item {id}").into_bytes().into();
            let message = Message { id: id.clone(), content_type: Item::CONTENT_TYPE.into(), body };
            until("the broker to take a bad message", async || self.broker.publish(&message).await.ok()).await;
            self.bad.insert(id);
        }
    }

    /// Counts from which the next fault counts on.
    pub(super) async fn before(&self) -> Before {
        let terms = self.stored().await.terms;
        let Account { scraped, stored, .. } = self.latest;
        Before { scraped, stored, terms, recognised: self.recognised().await }
    }

    /// Messages that came again, as the nodes have counted them since they were started.
    pub(super) async fn recognised(&self) -> u64 {
        let mut sum = 0;
        for url in self.cluster.urls().values() {
            let Some(answer) = self.visitor.try_get(&format!("{url}/metrics")).await else { continue };
            let metrics = answer.text().await.unwrap_or_default();
            let line = metrics.lines().find(|line| {
                line.starts_with("symphony_items_received_total") && line.contains("outcome=\"duplicate\"")
            });
            sum += line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0);
        }
        sum
    }

    /// Gives everything time to arrive, and draws up the account. Meanwhile the manager is stopped: then no message is
    /// in anybody's hands, and what the queue has is all there is.
    pub(super) async fn settle(&mut self, scraper: Result<(), String>) -> Account {
        self.ready().await;
        let scraped = Scraped::read(&self.files, self.scraper.published());
        let begun = Instant::now();
        loop {
            let stored = self.stored().await;
            let depth = self.broker.depth().await;
            let all = stored.messages >= scraped.published.len() as u64 && stored.files >= scraped.files;
            // What comes again waits with all others.
            let settled = depth.is_ok_and(|depth| depth.dead >= self.bad.len() as u64 && depth.ready == 0);
            if (all && settled) || begun.elapsed() > SETTLE_TIME_MAX {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        let mut manager = self.manager.take().expect("a manager");
        block_in_place(|| manager.stop(GRACE));
        let stored = self.stored().await;
        let difference = difference(&self.database, &scraped.published).await.expect("the database");
        let received = self.smtp.received().iter().flat_map(|mail| subjects(mail)).collect();
        let mails = account::mails(&self.database, &received).await.expect("the database");
        let letters = self.patiently("the dead letters", async || self.broker.dead_letters(None, 10_000).await).await;
        let depth = self.patiently("the depth", async || self.broker.depth().await).await;
        self.latest = Account {
            scraped: scraped.published.len() as u64,
            stored: stored.messages,
            missing: difference.missing,
            foreign: difference.foreign,
            doubled: difference.doubled,
            differing: differing(&self.database, &scraped.latest).await.expect("the database"),
            stale: stored.stale,
            files_missing: scraped.files.abs_diff(stored.files),
            mails_lost: mails.lost,
            mails_stuck: mails.stuck,
            queued: depth.ready,
            scraper_failed: scraper.err(),
            ..Account::default()
        }
        .with_letters(&self.bad, &letters);
        self.start_manager();
        self.ready().await;
        self.latest.clone()
    }

    async fn patiently<T, E, F: Future<Output = Result<T, E>>>(&self, what: &str, mut ask: impl FnMut() -> F) -> T {
        until(what, || {
            let answer = ask();
            async move { answer.await.ok() }
        })
        .await
    }

    /// Asks every role to end in good order.
    pub(super) fn stop(mut self) {
        block_in_place(|| {
            for role in self.manager.iter_mut().chain(self.nodes.values_mut()) {
                role.signal("TERM");
            }
            for role in self.manager.iter_mut().chain(self.nodes.values_mut()) {
                role.succeed_within(PATIENCE);
            }
        });
    }
}
