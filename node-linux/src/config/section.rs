//! What can be configured, section by section, with its defaults.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use symphony_adapters::{
    http::{Bearer, BearerError},
    tls::{Identity, TlsError},
};

use super::Secret;

/// The whole configuration. Every section and every key may be left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Election.
    pub node: Node,
    /// Message queue.
    pub broker: Broker,
    /// Shared database.
    pub database: Database,
    /// Calls between the roles, and yours.
    pub api: Api,
    /// Web role.
    pub web: Web,
    /// Manager role.
    pub manager: Manager,
    /// FTP server that scraper and manager talk to.
    pub ftp: Ftp,
    /// FTP server role.
    pub ftp_server: FtpServer,
    /// Notifications by mail.
    pub mail: Mail,
    /// Scraper role.
    pub scraper: Scraper,
    /// Demonstration shop role.
    pub shop: Shop,
    /// Encryption of every connection.
    pub tls: Tls,
    /// Logging.
    pub log: Log,
}

/// Election: who we are, who the others are, and how patient we are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Our id among the members.
    pub id: u16,
    /// Name of the cluster; datagrams of another cluster are refused.
    pub cluster: String,
    /// UDP address to listen on.
    pub listen: SocketAddr,
    /// File of the record that must survive a crash (term, vote, boot).
    pub state: PathBuf,
    /// File of the cluster's keys, the same for every member (`symphony key gen`).
    pub keys: PathBuf,
    /// All members, ourselves among them.
    pub members: Vec<Member>,
    /// Time between two heartbeats of a leader; at most half the shortest wait.
    #[serde(with = "super::duration")]
    pub heartbeat: Duration,
    /// Shortest wait for a heartbeat before an election.
    #[serde(with = "super::duration")]
    pub election_timeout_min: Duration,
    /// Longest wait for a heartbeat before an election.
    #[serde(with = "super::duration")]
    pub election_timeout_max: Duration,
    /// Program run (role `node`) on every change of leadership, with the new state in its environment.
    pub hook: Option<PathBuf>,
    /// HTTP address of health and metrics (role `node`).
    pub operations: SocketAddr,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            id: 1,
            cluster: "symphony".into(),
            listen: any(7400),
            state: "symphony-data/node.state".into(),
            keys: "symphony-data/cluster.keys".into(),
            members: Vec::new(),
            heartbeat: Duration::from_millis(50),
            election_timeout_min: Duration::from_millis(250),
            election_timeout_max: Duration::from_millis(500),
            hook: None,
            operations: any(8090),
        }
    }
}

/// Every interface of the machine.
fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

/// A member of the election.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Unique, from 1.
    pub id: u16,
    /// `host:port` of its UDP socket.
    pub address: String,
    /// Part it plays; a voter unless told.
    #[serde(default)]
    pub kind: MemberKind,
    /// Leadership goes to the highest; 0 unless told.
    #[serde(default)]
    pub priority: u8,
}

/// Part a member plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberKind {
    /// Votes and campaigns.
    #[default]
    Voter,
    /// Votes, never campaigns.
    Witness,
    /// Hears, never votes.
    Observer,
}

/// Message queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// `amqp://…`, `amqps://…` or `sqlite:PATH`.
    pub url: Secret,
    /// Name of the queue; `NAME.dead` is the dead-letter queue.
    pub queue: String,
}

impl Default for Broker {
    fn default() -> Self {
        Self { url: Secret::from("amqp://localhost:5672".to_owned()), queue: "symphony.items".into() }
    }
}

/// Shared database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `postgres://…` or `sqlite:PATH`.
    pub url: Secret,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: Secret::from("sqlite:symphony-data/symphony.db".to_owned()) }
    }
}

/// Calls between the roles, and yours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Token that every HTTP request which changes something carries.
    pub token: Secret,
}

impl Api {
    /// The token as requests carry it.
    ///
    /// # Errors
    /// [`BearerError`] for a text that cannot be a token; an empty one is too short.
    pub fn bearer(&self) -> Result<Bearer, BearerError> {
        Bearer::new(self.token.expose())
    }
}

/// Web role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// HTTP address to listen on.
    pub listen: SocketAddr,
    /// Base URL at which others reach this node; `http://` and the listening address unless told.
    pub url: Option<String>,
    /// Base URLs of the managers to tell of a new leader.
    pub managers: Vec<String>,
}

impl Default for Web {
    fn default() -> Self {
        Self { listen: any(8080), url: None, managers: Vec::new() }
    }
}

/// Manager role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manager {
    /// HTTP address to listen on.
    pub listen: SocketAddr,
    /// Base URLs of the web nodes.
    pub web: Vec<String>,
    /// How users' traffic on `/app/…` reaches the leader.
    pub route: Route,
    /// Messages unsettled at once, of 256 KiB each at most.
    pub prefetch: u16,
    /// Messages in one POST at most.
    pub batch_max: usize,
    /// Longest wait for a batch to fill.
    #[serde(with = "super::duration")]
    pub batch_age_max: Duration,
    /// Deliveries of a message before it goes to the dead-letter queue.
    pub deliveries_max: u64,
    /// Time between two looks at the FTP server.
    #[serde(with = "super::duration")]
    pub ftp_every: Duration,
}

impl Default for Manager {
    fn default() -> Self {
        Self {
            listen: any(8000),
            web: Vec::new(),
            route: Route::Redirect,
            prefetch: 200,
            batch_max: 100,
            batch_age_max: Duration::from_millis(50),
            deliveries_max: 10,
            ftp_every: Duration::from_secs(30),
        }
    }
}

/// How users' traffic reaches the leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// 307 to the leader's URL.
    #[default]
    Redirect,
    /// The manager fetches for the user.
    Proxy,
}

/// FTP server to talk to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ftp {
    /// `host:port`.
    pub address: String,
    /// Account.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Folder of the processed data.
    pub folder: String,
    /// Whether the connections are encrypted.
    pub tls: FtpTls,
}

impl Default for Ftp {
    fn default() -> Self {
        Self {
            address: "localhost:2121".into(),
            user: "symphony".into(),
            password: Secret::default(),
            folder: "/".into(),
            tls: FtpTls::None,
        }
    }
}

/// Whether connections to the FTP server are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FtpTls {
    /// They are not: anyone on the path reads the password and the files.
    #[default]
    None,
    /// FTPS by `AUTH TLS`, or no connection.
    Required,
}

/// FTP server role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FtpServer {
    /// Control connection.
    pub listen: SocketAddr,
    /// HTTP address of health and metrics.
    pub operations: SocketAddr,
    /// Folder served.
    pub root: PathBuf,
    /// Account.
    pub user: String,
    /// Its password; nobody may log in without one.
    pub password: Secret,
    /// First port of passive data connections.
    pub passive_port_min: u16,
    /// Last port of passive data connections.
    pub passive_port_max: u16,
}

impl Default for FtpServer {
    fn default() -> Self {
        Self {
            listen: any(2121),
            operations: any(8091),
            root: "symphony-data/ftp".into(),
            user: "symphony".into(),
            password: Secret::default(),
            passive_port_min: 30000,
            passive_port_max: 30099,
        }
    }
}

/// Notifications by mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mail {
    /// `smtp://…` (STARTTLS), `smtps://…` (TLS), `smtp://…?tls=none` (plain) or `file:FOLDER`; none: no mail.
    pub url: Option<Secret>,
    /// Sender.
    pub from: String,
    /// Recipients.
    pub to: Vec<String>,
}

impl Default for Mail {
    fn default() -> Self {
        Self { url: None, from: "symphony@localhost".into(), to: Vec::new() }
    }
}

/// Scraper role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scraper {
    /// HTTP address of health and metrics.
    pub operations: SocketAddr,
    /// Time from the end of a run to the start of the next; none: one run.
    #[serde(with = "super::duration::option")]
    pub every: Option<Duration>,
    /// What has been published, validators of conditional requests, processed data before upload.
    pub state: PathBuf,
    /// Sites.
    pub sites: Vec<Site>,
}

impl Default for Scraper {
    fn default() -> Self {
        Self { operations: any(8092), every: None, state: "symphony-data/scraper".into(), sites: Vec::new() }
    }
}

/// A site to scrape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Names the site in items, files and logs.
    pub name: String,
    /// First pages.
    pub start: Vec<String>,
    /// Links to follow: a regular expression on the absolute URL.
    pub follow: Option<String>,
    /// CSS selector of the link to the next page.
    pub next: Option<String>,
    /// CSS selector of an item on a page; the whole page unless told.
    pub item: Option<String>,
    /// Only pages whose URL matches this regular expression hold items; all unless told.
    pub items_on: Option<String>,
    /// Field whose value is the item's identity; the page's URL unless told.
    pub key: Option<String>,
    /// Field that is the item's title; the page's title unless told.
    pub title: Option<String>,
    /// Fields by name.
    pub fields: BTreeMap<String, Field>,
    /// Pages at most in one run.
    #[serde(default = "Site::default_pages_max")]
    pub pages_max: usize,
    /// Requests in flight at once.
    #[serde(default = "Site::default_concurrency")]
    pub concurrency: usize,
    /// Time between the starts of two requests; a longer Crawl-delay of robots.txt wins.
    #[serde(default, with = "super::duration")]
    pub delay: Duration,
    /// Further attempts after a request that failed for a passing reason.
    #[serde(default = "Site::default_retries")]
    pub retries: u32,
}

impl Site {
    fn default_pages_max() -> usize {
        10_000
    }
    fn default_concurrency() -> usize {
        4
    }
    fn default_retries() -> u32 {
        3
    }
}

/// A field of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// CSS selector inside the item; the item itself unless told.
    pub selector: Option<String>,
    /// Attribute to read; the text unless told.
    pub attribute: Option<String>,
    /// Type of the value.
    #[serde(default, rename = "type")]
    pub kind: FieldKind,
    /// An item without this field is not an item.
    #[serde(default)]
    pub required: bool,
}

/// Type of a field's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldKind {
    /// White space folded.
    #[default]
    Text,
    /// A decimal number.
    Number,
    /// An amount with its currency.
    Money,
    /// Made absolute.
    Url,
}

/// Demonstration shop role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shop {
    /// HTTP address to listen on.
    pub listen: SocketAddr,
    /// Number of products.
    pub products: usize,
    /// Time between two changes of prices.
    #[serde(with = "super::duration")]
    pub price_change_every: Duration,
}

impl Default for Shop {
    fn default() -> Self {
        Self { listen: any(8093), products: 240, price_change_every: Duration::from_secs(60) }
    }
}

/// Encryption of every connection but the election's datagrams, which have their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file of the authority that certifies every server we talk to; Mozilla's list unless told.
    pub ca: Option<PathBuf>,
    /// PEM file of our own certificate and what leads from it to the authority; plain HTTP and FTP unless told.
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key.
    pub key: Option<PathBuf>,
}

impl Tls {
    /// How this process protects its connections.
    ///
    /// # Errors
    /// [`TlsError`], naming the file and what to do.
    pub fn load(&self) -> Result<symphony_adapters::tls::Tls, TlsError> {
        let tls = self.client()?;
        Ok(match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => tls.with_identity(Identity::read(certificate, key)?),
            _ => tls,
        })
    }

    /// How it protects the connections it makes, for those that serve nobody.
    ///
    /// # Errors
    /// [`TlsError`], naming the file.
    pub fn client(&self) -> Result<symphony_adapters::tls::Tls, TlsError> {
        symphony_adapters::tls::Tls::new(self.ca.as_deref())
    }
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `tracing` filter, such as `info` or `symphony=debug,warn`.
    pub filter: String,
    /// Lines for people or JSON for machines.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info,libunftp=warn,unftp_sbe_fs=warn".into(), format: LogFormat::Text }
    }
}

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
