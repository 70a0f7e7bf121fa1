//! A Linux node: `symphony node` as a process of its own.

use std::path::Path;

use symphony_tests::{board::Cluster, servers::free_port, symphony::Symphony};

/// Linked from the same sources as this test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_symphony-under-test");

pub(crate) struct Server(Symphony);

impl Server {
    pub(crate) fn start(folder: &Path, cluster: &Cluster, id: u16) -> Self {
        let (timing, keys) = (cluster.timing, format!("node-{id}.keys"));
        cluster.write_keys(&folder.join(&keys));
        let settings = [
            format!("node.cluster={}", cluster.name),
            format!("node.members={}", cluster.members_toml()),
            format!("node.keys={keys}"),
            format!("node.state=node-{id}.state"),
            format!("node.operations=127.0.0.1:{}", free_port()),
            format!("node.heartbeat={}ms", timing.heartbeat_interval.as_millis()),
            format!("node.election_timeout_min={}ms", timing.election_timeout_min.as_millis()),
            format!("node.election_timeout_max={}ms", timing.election_timeout_max.as_millis()),
        ];
        let (id_text, listen) = (id.to_string(), cluster.address(id).to_string());
        let mut arguments = vec!["node", "--id", &id_text, "--listen", &listen];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        Self(Symphony::start(PROGRAM, folder, &format!("node-{id}"), arguments, &[]))
    }

    /// The latest term in which it led.
    pub(crate) fn led_last(&self) -> Option<u64> {
        let log = self.0.log();
        let led = log.lines().rev().find(|line| line.contains("leadership") && line.contains("role=leader"))?;
        field(led, "term=")?.parse().ok()
    }

    /// Whether it followed this node when it last said something of the leadership.
    pub(crate) fn follows(&self, id: u16) -> bool {
        let log = self.0.log();
        let last = log.lines().rev().find(|line| line.contains("leadership"));
        last.and_then(|line| field(line, "leader=")) == Some(id.to_string().as_str())
    }

    pub(crate) fn log(&self) -> String {
        self.0.log()
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill();
    }
}

/// The value of a field of a line of the log.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix(name))
}
