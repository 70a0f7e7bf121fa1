//! A cluster of separate processes that share one configuration file.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the test"
)]

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde::Serialize;
use symphony::{config, keys};
use tempfile::TempDir;

use crate::{
    servers::{free_port, postgres, rabbitmq},
    symphony::Symphony,
};

/// What requests that change something carry.
pub const TOKEN: &str = "token-of-the-cluster";

/// Longest wait of a node for a heartbeat. More patience than usual: on a busy machine a heartbeat may be late.
pub const ELECTION_TIMEOUT_MAX: Duration = Duration::from_secs(2);

/// What a process has to end in good order, at the most: requests in flight get ten seconds.
pub const GRACE: Duration = Duration::from_secs(60);

/// The programs that every cluster needs.
#[must_use]
pub fn programs(others: &[&'static str]) -> Vec<&'static str> {
    [rabbitmq::PROGRAMS, postgres::PROGRAMS, others].concat()
}

/// Who is where. Nobody runs until started.
#[derive(Debug)]
pub struct Cluster {
    program: String,
    folder: TempDir,
    scheme: &'static str,
    /// Base URL of the manager.
    pub manager: String,
    /// Base URL of the scraper's health and metrics.
    pub scraper: String,
    nodes: BTreeMap<u16, Node>,
}

#[derive(Debug)]
struct Node {
    web: u16,
    election: u16,
}

impl Cluster {
    /// Writes the configuration: what every process of `program` needs to know, `more` of it, and the site to scrape.
    #[must_use]
    pub fn new(program: &str, nodes: u16, broker: &str, database: &str, more: &str, site: config::Site) -> Self {
        Self::over("http", program, nodes, broker, database, more, site)
    }

    /// The same, whose processes call each other by URLs of this scheme.
    #[must_use]
    pub fn over(
        scheme: &'static str,
        program: &str,
        nodes: u16,
        broker: &str,
        database: &str,
        more: &str,
        site: config::Site,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nodes: BTreeMap<u16, Node> =
            (1..=nodes).map(|id| (id, Node { web: free_port(), election: free_port() })).collect();
        let (manager, scraper) = (free_port(), free_port());
        let web: Vec<_> = nodes.values().map(|node| format!("{scheme}://127.0.0.1:{}", node.web)).collect();
        let members: Vec<_> = nodes
            .iter()
            .map(|(id, node)| format!("{{ id = {id}, address = \"127.0.0.1:{}\" }}", node.election))
            .collect();
        let text = format!(
            "[api]\ntoken_file = \"api.token\"\n\n[node]\ncluster = \"end-to-end\"\nmembers = [{}]\nheartbeat = \"100ms\"\n\
             election_timeout_min = \"1s\"\nelection_timeout_max = \"{}s\"\n\n\
             [broker]\nurl = {broker:?}\n\n\
             [web]\nmanagers = [\"{scheme}://127.0.0.1:{manager}\"]\n\n\
             [manager]\nlisten = \"127.0.0.1:{manager}\"\nweb = {web:?}\nftp_every = \"1s\"\n\n\
             [scraper]\noperations = \"127.0.0.1:{scraper}\"\nstate = \"scraper\"\n\n\
             {more}\n{}",
            members.join(", "),
            ELECTION_TIMEOUT_MAX.as_secs(),
            sites(site)
        );
        fs::write(folder.path().join("symphony.toml"), text).unwrap();
        fs::write(folder.path().join("database.url"), database).unwrap();
        keys::generate(&folder.path().join(config::Node::default().keys)).unwrap();
        fs::write(folder.path().join("api.token"), format!("{TOKEN}\n")).unwrap();
        Self {
            program: program.to_owned(),
            folder,
            scheme,
            manager: format!("{scheme}://127.0.0.1:{manager}"),
            scraper: format!("{scheme}://127.0.0.1:{scraper}"),
            nodes,
        }
    }

    /// Where the processes leave their logs, and what they keep.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What every process runs.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Base URL of each web node, by id.
    #[must_use]
    pub fn urls(&self) -> BTreeMap<u16, String> {
        self.nodes.iter().map(|(id, node)| (*id, format!("{}://127.0.0.1:{}", self.scheme, node.web))).collect()
    }

    /// Starts a role.
    #[must_use]
    pub fn start(&self, role: &str, arguments: &[&str]) -> Symphony {
        self.start_as(role, role, arguments, &[])
    }

    /// Starts a web node: a flag, or a variable, says what sets it apart from the others.
    #[must_use]
    pub fn start_node(&self, id: u16) -> Symphony {
        self.start_node_by(&self.program, id, &[])
    }

    /// Starts a web node by another program than the cluster's, with more variables, the last of which count.
    #[must_use]
    pub fn start_node_by(&self, program: &str, id: u16, more: &[(&str, String)]) -> Symphony {
        let Node { web, election } = &self.nodes[&id];
        let variables = [
            ("SYMPHONY_NODE__LISTEN", format!("127.0.0.1:{election}")),
            ("SYMPHONY_NODE__STATE", format!("node-{id}.state")),
        ];
        let variables = [&variables, more].concat();
        let (id, address) = (id.to_string(), format!("127.0.0.1:{web}"));
        self.start_by(program, &format!("web-{id}"), "web", &["--id", &id, "--listen", &address], &variables)
    }

    /// Starts a role, or another command, under a name of its own.
    #[must_use]
    pub fn start_as(&self, name: &str, role: &str, arguments: &[&str], variables: &[(&str, String)]) -> Symphony {
        self.start_by(&self.program, name, role, arguments, variables)
    }

    /// The same, by another program than the cluster's.
    #[must_use]
    pub fn start_by(
        &self,
        program: &str,
        name: &str,
        role: &str,
        arguments: &[&str],
        variables: &[(&str, String)],
    ) -> Symphony {
        // What holds a password is read from a file of its own.
        let secret = ("SYMPHONY_DATABASE__URL_FILE", "database.url".to_owned());
        let variables: Vec<_> = variables.iter().cloned().chain([secret]).collect();
        let arguments = ["--config", "symphony.toml", role].into_iter().chain(arguments.iter().copied());
        Symphony::start(program, self.folder(), name, arguments, &variables)
    }
}

/// The section that says what is scraped.
fn sites(site: config::Site) -> String {
    #[derive(Serialize)]
    struct Document {
        scraper: Scraper,
    }
    #[derive(Serialize)]
    struct Scraper {
        sites: [config::Site; 1],
    }
    toml::to_string(&Document { scraper: Scraper { sites: [site] } }).unwrap()
}
