//! A cluster of separate processes that share one configuration file.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde::Serialize;
use symphony::config;
use symphony_tests::{
    servers::{free_port, postgres, rabbitmq},
    symphony::Symphony,
};
use tempfile::TempDir;

/// Linked from the same sources as this test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_symphony-under-test");

/// What a process has to end in good order, at the most: requests in flight get ten seconds.
pub(crate) const GRACE: Duration = Duration::from_secs(20);

/// The programs that every cluster needs.
pub(crate) fn programs(others: &[&'static str]) -> Vec<&'static str> {
    [rabbitmq::PROGRAMS, postgres::PROGRAMS, others].concat()
}

/// Who is where. Nobody runs until started.
pub(crate) struct Cluster {
    folder: TempDir,
    /// Base URL of the manager.
    pub(crate) manager: String,
    /// Base URL of the scraper's health and metrics.
    pub(crate) scraper: String,
    nodes: BTreeMap<u16, Node>,
}

struct Node {
    web: u16,
    election: u16,
}

impl Cluster {
    /// Writes the configuration: what every process needs to know, `more` of it, and the site to scrape.
    pub(crate) fn new(nodes: u16, broker: &str, database: &str, more: &str, site: config::Site) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nodes: BTreeMap<u16, Node> =
            (1..=nodes).map(|id| (id, Node { web: free_port(), election: free_port() })).collect();
        let (manager, scraper) = (free_port(), free_port());
        let web: Vec<_> = nodes.values().map(|node| format!("http://127.0.0.1:{}", node.web)).collect();
        let members: Vec<_> = nodes
            .iter()
            .map(|(id, node)| format!("{{ id = {id}, address = \"127.0.0.1:{}\" }}", node.election))
            .collect();
        // More patience than usual: on a busy machine a heartbeat may be late.
        let text = format!(
            "[node]\ncluster = \"end-to-end\"\nmembers = [{}]\nheartbeat = \"100ms\"\n\
             election_timeout_min = \"1s\"\nelection_timeout_max = \"2s\"\n\n\
             [broker]\nurl = {broker:?}\n\n\
             [web]\nmanagers = [\"http://127.0.0.1:{manager}\"]\n\n\
             [manager]\nlisten = \"127.0.0.1:{manager}\"\nweb = {web:?}\nftp_every = \"1s\"\n\n\
             [scraper]\noperations = \"127.0.0.1:{scraper}\"\nstate = \"scraper\"\n\n\
             {more}\n{}",
            members.join(", "),
            sites(site)
        );
        fs::write(folder.path().join("symphony.toml"), text).unwrap();
        fs::write(folder.path().join("database.url"), database).unwrap();
        Self {
            folder,
            manager: format!("http://127.0.0.1:{manager}"),
            scraper: format!("http://127.0.0.1:{scraper}"),
            nodes,
        }
    }

    /// Where the processes leave their logs, and what they keep.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Base URL of each web node, by id.
    pub(crate) fn urls(&self) -> BTreeMap<u16, String> {
        self.nodes.iter().map(|(id, node)| (*id, format!("http://127.0.0.1:{}", node.web))).collect()
    }

    /// Starts a role.
    pub(crate) fn start(&self, role: &str, arguments: &[&str]) -> Symphony {
        self.start_as(role, role, arguments, &[])
    }

    /// Starts a web node: a flag, or a variable, says what sets it apart from the others.
    pub(crate) fn start_node(&self, id: u16) -> Symphony {
        let Node { web, election } = &self.nodes[&id];
        let variables = [
            ("SYMPHONY_NODE__LISTEN", format!("127.0.0.1:{election}")),
            ("SYMPHONY_NODE__STATE", format!("node-{id}.state")),
        ];
        let (id, address) = (id.to_string(), format!("127.0.0.1:{web}"));
        self.start_as(&format!("web-{id}"), "web", &["--id", &id, "--listen", &address], &variables)
    }

    fn start_as(&self, name: &str, role: &str, arguments: &[&str], variables: &[(&str, String)]) -> Symphony {
        // What holds a password is read from a file of its own.
        let secret = ("SYMPHONY_DATABASE__URL_FILE", "database.url".to_owned());
        let variables: Vec<_> = variables.iter().cloned().chain([secret]).collect();
        let arguments = ["--config", "symphony.toml", role].into_iter().chain(arguments.iter().copied());
        Symphony::start(PROGRAM, self.folder(), name, arguments, &variables)
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
