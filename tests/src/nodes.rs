//! A cluster of three processes of the role `node`: the election alone, with its keys.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the test"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use reqwest::StatusCode;
use sha2::{Digest as _, Sha256};
use symphony_core::ClusterId;

use crate::{
    servers::free_port,
    symphony::{Symphony, Visitor, until},
};

/// The cluster's name.
pub const NAME: &str = "symphony";

/// Datagrams that make a talk: several heartbeats and answers.
const DATAGRAMS_EACH: u64 = 10;

/// Ids of the members.
pub const IDS: [u16; 3] = [1, 2, 3];

/// Members 1 to 3, each a process with files of its own: `N.keys`, `N.state`, and `told-N`, a line for every change of
/// leadership.
#[derive(Debug)]
pub struct Cluster {
    program: &'static str,
    folder: tempfile::TempDir,
    visitor: Visitor,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    election: u16,
    operations: String,
    process: Option<Symphony>,
}

impl Cluster {
    /// Three members with the same key, which do not run yet.
    ///
    /// # Panics
    /// If the files cannot be made.
    #[must_use]
    pub fn new(program: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let member = |_| {
            let operations = format!("127.0.0.1:{}", free_port());
            Member { election: free_port(), operations, process: None }
        };
        let cluster = Self { program, folder, visitor: Visitor::new(), members: IDS.map(member).into() };
        cluster.key(&["gen", "1.keys"]);
        cluster.copy_keys();
        write_hook(cluster.folder.path());
        cluster
    }

    /// The path of a file of this cluster.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `symphony key`.
    ///
    /// # Panics
    /// If it fails.
    pub fn key(&self, arguments: &[&str]) {
        let arguments = [&["key"], arguments].concat();
        Symphony::start(self.program, self.folder.path(), "key", arguments, &[]).succeed();
    }

    /// Copies the first member's keys to the others.
    ///
    /// # Panics
    /// If that fails.
    pub fn copy_keys(&self) {
        for id in [2, 3] {
            fs::copy(self.path("1.keys"), self.path(&format!("{id}.keys"))).expect("the keys are copied");
        }
    }

    /// Starts a member, also again.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(&mut self, id: u16) {
        let address = |(id, member): (u16, &Member)| format!("{{id={id},address=\"127.0.0.1:{}\"}}", member.election);
        let addresses: Vec<_> = IDS.into_iter().zip(&self.members).map(address).collect();
        let member = self.member(id);
        let settings = [
            format!("node.cluster={NAME}"),
            format!("node.members=[{}]", addresses.join(",")),
            format!("node.id={id}"),
            format!("node.listen=127.0.0.1:{}", member.election),
            format!("node.operations={}", member.operations),
            format!("node.state={id}.state"),
            format!("node.keys={id}.keys"),
            "node.hook=./hook".to_owned(),
            // On a busy machine a heartbeat may be late.
            "node.election_timeout_min=4s".to_owned(),
            "node.election_timeout_max=8s".to_owned(),
        ];
        let arguments = ["node"].into_iter().chain(settings.iter().flat_map(|setting| ["--set", setting]));
        let process = Symphony::start(self.program, self.folder.path(), &format!("node-{id}"), arguments, &[]);
        self.members[usize::from(id) - 1].process = Some(process);
    }

    /// A member's process.
    ///
    /// # Panics
    /// If it was never started.
    pub fn process(&mut self, id: u16) -> &mut Symphony {
        self.members[usize::from(id) - 1].process.as_mut().expect("it was started")
    }

    /// What a member has logged.
    ///
    /// # Panics
    /// If it was never started.
    #[must_use]
    pub fn log(&self, id: u16) -> String {
        self.member(id).process.as_ref().expect("it was started").log()
    }

    /// UDP port of a member.
    #[must_use]
    pub fn port(&self, id: u16) -> u16 {
        self.member(id).election
    }

    /// The answer of a member to a GET; none if there is none.
    pub async fn get(&self, id: u16, path: &str) -> Option<(StatusCode, String)> {
        let response = self.visitor.try_get(&format!("http://{}{path}", self.member(id).operations)).await?;
        Some((response.status(), response.text().await.ok()?))
    }

    /// A cluster whose members all run and know a leader.
    pub async fn running(program: &'static str) -> Self {
        let mut cluster = Self::new(program);
        for id in IDS {
            cluster.start(id);
        }
        cluster.ready(&IDS).await;
        cluster
    }

    /// Waits until these members know a leader.
    pub async fn ready(&self, ids: &[u16]) {
        for id in ids {
            let is_ready = async || self.get(*id, "/readyz").await.filter(|(status, _)| *status == StatusCode::OK);
            until("a leader", is_ready).await;
        }
    }

    /// All that each member was told of leadership: a change of leader, term or role is a line.
    #[must_use]
    pub fn told(&self) -> [String; 3] {
        IDS.map(|id| fs::read_to_string(self.path(&format!("told-{id}"))).unwrap_or_default())
    }

    /// Waits until these members were told of the same leader in the same term, and returns term and leader.
    pub async fn leader(&self, ids: &[u16]) -> (u64, u16) {
        until("one leader in all hooks", async || {
            let told = self.told();
            let last = |id: &u16| {
                let mut words = told[usize::from(*id) - 1].lines().last()?.split(' ').skip(1);
                Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
            };
            let first: (u64, u16) = last(ids.first()?)?;
            ids.iter().all(|id| last(id) == Some(first)).then_some(first)
        })
        .await
    }

    /// Datagrams that a member has refused for a reason.
    pub async fn refused(&self, id: u16, reason: &str) -> u64 {
        self.counted(id, "symphony_datagrams_refused_total", &format!(",reason=\"{reason}\"")).await
    }

    /// Waits until each of these members has taken in more datagrams.
    pub async fn talk(&self, ids: &[u16]) {
        for id in ids {
            let accepted = async || self.counted(*id, "symphony_datagrams_accepted_total", "").await;
            let enough = accepted().await + DATAGRAMS_EACH;
            until("datagrams accepted", async || (accepted().await >= enough).then_some(())).await;
        }
    }

    async fn counted(&self, id: u16, name: &str, further: &str) -> u64 {
        let (_, metrics) = self.get(id, "/metrics").await.expect("it runs");
        let start = format!("{name}{{node=\"{id}\"{further}}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&start)).map_or(0, |count| count.parse().expect("a number"))
    }

    fn member(&self, id: u16) -> &Member {
        &self.members[usize::from(id) - 1]
    }
}

/// The id of the cluster, as others make it of its name.
///
/// # Panics
/// Never.
#[must_use]
pub fn cluster_id() -> ClusterId {
    ClusterId(*Sha256::digest(NAME).first_chunk().expect("32 bytes"))
}

/// A program that writes down what it is told.
fn write_hook(folder: &Path) {
    let hook = folder.join("hook");
    let script = "#!/bin/sh\necho \"$SYMPHONY_ROLE $SYMPHONY_TERM $SYMPHONY_LEADER\" >> told-$SYMPHONY_ID\n";
    fs::write(&hook, script).expect("a hook");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("a program");
}
