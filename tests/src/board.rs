//! An emulated board that runs the firmware of `node-mcu`, and the servers beside it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::SocketAddr,
    os::unix::{fs::OpenOptionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use symphony_core::{ClusterId, Key, KeyRing, Member, NodeId, Suffrage, Timing};

use crate::servers::{free_port, process::Process, wait_until};

/// Starts the emulator and decodes the log.
const RUN_QEMU: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../node-mcu/run-qemu");

const TARGET: &str = "thumbv7m-none-eabi";

/// Where the board listens on its own network.
const BOARD_PORT: u16 = 7400;

/// How QEMU's user network calls the board, and this machine's loopback.
const BOARD_ADDRESS: &str = "10.0.2.15";
const HOST_ADDRESS: &str = "10.0.2.2";

/// The id of the board in every cluster.
pub const BOARD: u16 = 3;

/// Time for anything that is expected to happen, the firmware's first build included.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// The programs that an emulated board needs.
#[must_use]
pub fn programs() -> Vec<&'static str> {
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).output();
    let has_target =
        installed.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).lines().any(|line| line == TARGET));
    let toolchain: &[_] = if has_target { &[] } else { &["/usr/bin/rustc", "/usr/bin/cargo"] };
    [&["qemu-system-arm", "defmt-print"], toolchain].concat()
}

/// Who is in the cluster, and how patient everyone is.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// The members, and the port of each on this machine's loopback.
    pub members: Vec<(Member, u16)>,
    /// How patient everyone is.
    pub timing: Timing,
    key: [u8; 32],
}

impl Cluster {
    /// A cluster of these members under free ports. On a busy machine a heartbeat may be late, so patience is long.
    #[must_use]
    pub fn new(name: &str, members: &[Member]) -> Self {
        let timing = Timing {
            heartbeat_interval: symphony_core::Duration::from_millis(300),
            election_timeout_min: symphony_core::Duration::from_millis(3000),
            election_timeout_max: symphony_core::Duration::from_millis(6000),
            clock_drift_max_percent: 1,
        };
        let members = members.iter().map(|member| (*member, free_port())).collect();
        Self { name: name.to_owned(), members, timing, key: rand::random() }
    }

    /// The same, with other election timeouts, milliseconds, and a heartbeat of a tenth of the shortest.
    #[must_use]
    pub fn with_timeouts(mut self, min_ms: u64, max_ms: u64) -> Self {
        self.timing.heartbeat_interval = symphony_core::Duration::from_millis(min_ms / 10);
        self.timing.election_timeout_min = symphony_core::Duration::from_millis(min_ms);
        self.timing.election_timeout_max = symphony_core::Duration::from_millis(max_ms);
        self
    }

    /// As the core knows it.
    #[must_use]
    pub fn id(&self) -> ClusterId {
        let hash: [u8; 32] = Sha256::digest(&self.name).into();
        ClusterId(*hash.first_chunk().unwrap())
    }

    /// The keys, as the core knows them.
    #[must_use]
    pub fn keys(&self) -> KeyRing {
        KeyRing::new(Key::new(1, self.key))
    }

    /// Writes the keys as a Linux node reads them.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn write_keys(&self, path: &Path) {
        let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path).unwrap();
        writeln!(file, "send 1 {}", hex::encode(self.key)).unwrap();
    }

    /// Where a member listens, as seen from this machine.
    ///
    /// # Panics
    /// If it is no member.
    #[must_use]
    pub fn address(&self, id: u16) -> SocketAddr {
        let (_, port) = self.members.iter().find(|(member, _)| member.id == NodeId(id)).expect("a member");
        SocketAddr::from(([127, 0, 0, 1], *port))
    }

    /// The members as `node.members` of the configuration of a Linux node.
    #[must_use]
    pub fn members_toml(&self) -> String {
        let members = self.members.iter().map(|(member, port)| {
            let (id, priority, kind) = (member.id.0, member.priority, suffrage(member.suffrage));
            format!("{{ id = {id}, address = \"127.0.0.1:{port}\", kind = \"{kind}\", priority = {priority} }}")
        });
        format!("[{}]", members.collect::<Vec<_>>().join(", "))
    }

    /// `board.conf`.
    fn board_conf(&self) -> String {
        let Timing { heartbeat_interval, election_timeout_min, election_timeout_max, .. } = self.timing;
        let mut text = format!(
            "cluster = {}\nsend = 1 {}\nid = {BOARD}\nprefix_length = 24\ngateway = {HOST_ADDRESS}\nheartbeat_ms = {}\nelection_timeout_ms = {} {}\nprovision = yes\n",
            hex::encode(self.id().0),
            hex::encode(self.key),
            heartbeat_interval.as_millis(),
            election_timeout_min.as_millis(),
            election_timeout_max.as_millis()
        );
        for (member, port) in &self.members {
            let (id, kind, priority) = (member.id.0, suffrage(member.suffrage), member.priority);
            let address = match id {
                BOARD => format!("{BOARD_ADDRESS}:{BOARD_PORT}"),
                ABSENT => format!("{ABSENT_ADDRESS}:{BOARD_PORT}"),
                _ => format!("{HOST_ADDRESS}:{port}"),
            };
            writeln!(text, "member = {id} {kind} {priority} {address}").unwrap();
        }
        text
    }
}

/// The id of a member that is switched off, for the board at an address on its own network which nobody answers for.
pub const ABSENT: u16 = 4;
const ABSENT_ADDRESS: &str = "10.0.2.99";

fn suffrage(suffrage: Suffrage) -> &'static str {
    match suffrage {
        Suffrage::Voter => "voter",
        Suffrage::Witness => "witness",
        Suffrage::Observer => "observer",
    }
}

/// An emulated board, switched off when dropped.
#[derive(Debug)]
pub struct Board {
    process: Process,
    folder: PathBuf,
}

impl Board {
    /// Switches a board on, in a folder of its own under `folder`: a new one, or the one that was there before.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(folder: &Path, cluster: &Cluster) -> Self {
        let folder = folder.join("board");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("board.conf"), cluster.board_conf()).unwrap();
        let port = cluster.address(BOARD).port().to_string();
        let process = Process::start(Command::new(RUN_QEMU).arg(&folder).arg(port), folder.join("log"));
        let mut board = Self { process, folder };
        board.wait_for("its start", |log| log.contains(" starts in "));
        board
    }

    /// What it has logged, decoded.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits for something in the log.
    ///
    /// # Panics
    /// If it does not come within [`PATIENCE`], or the emulator ends before.
    pub fn wait_for(&mut self, what: &str, found: impl Fn(&str) -> bool) {
        let mut comes = false;
        let _ = wait_until(PATIENCE, || {
            let has_ended = self.process.ended().is_some();
            comes = found(&self.log());
            comes || has_ended
        });
        assert!(comes, "{what}: not in the log of the board:\n{}", self.log());
    }

    /// The leader it has told of last, with the term.
    #[must_use]
    pub fn leader(&self) -> Option<(u64, u16)> {
        let log = self.log();
        let told =
            log.lines().rev().find_map(|line| line.split_once("LeaderChanged { term: Term(")).map(|told| told.1)?;
        let (term, rest) = told.split_once(')')?;
        let (_, leader) = rest.split_once("NodeId(")?;
        Some((term.parse().ok()?, leader.split_once(')')?.0.parse().ok()?))
    }

    /// The term and the start of the record that each of its starts began with.
    #[must_use]
    pub fn starts(&self) -> Vec<(u64, u64)> {
        let number = |text: &str| text.split_once(')')?.0.parse().ok();
        let log = self.log();
        let starts =
            log.lines().filter_map(|line| line.split_once(" starts in Term(")?.1.split_once("after start Boot("));
        starts.filter_map(|(term, boot)| Some((number(term)?, number(boot)?))).collect()
    }

    /// Presses the reset button, and waits until the board has started again.
    ///
    /// # Panics
    /// If the emulator does not listen, or the board does not start.
    pub fn reset(&mut self) {
        let starts = self.starts().len();
        self.tell_emulator("system_reset");
        self.wait_for_start_after(starts);
    }

    /// Lets its processor run into nowhere, and waits until the board has started again.
    ///
    /// # Panics
    /// If the emulator does not listen, or the board does not start.
    pub fn crash(&mut self) {
        let starts = self.starts().len();
        let socket = self.folder.join("debugger");
        self.tell_emulator(&format!("gdbserver unix:{},server,nowait", socket.display()));
        let mut debugger = UnixStream::connect(&socket).expect("the emulator's debugger");
        // Goes on at an address without memory (GDB's remote protocol).
        let command = "cf0000000";
        let sum = command.bytes().fold(0_u8, u8::wrapping_add);
        write!(debugger, "+${command}#{sum:02x}").expect("the debugger listens");
        self.wait_for_start_after(starts);
        // Once its receiver has been full, QEMU's controller takes no frame until the emulation has been stopped.
        self.tell_emulator("stop");
        self.tell_emulator("cont");
    }

    /// Presses the button SELECT for long enough to be seen on a busy machine: twice, because the emulator's button counts
    /// as down until it has been let go once.
    ///
    /// # Panics
    /// If the emulator does not listen.
    pub fn press_select(&self) {
        for _ in 0..2 {
            self.tell_emulator("sendkey ctrl 1000");
        }
    }

    /// Says a line at the emulator's console, and waits until it has done what it says.
    fn tell_emulator(&self, line: &str) {
        let mut monitor = UnixStream::connect(self.folder.join("monitor")).expect("the emulator's console");
        monitor.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(monitor, "{line}").unwrap();
        // It prompts again.
        let (mut answer, mut part) = (String::new(), [0; 256]);
        while answer.matches("(qemu)").count() < 2 {
            let length = monitor.read(&mut part).expect("an answer of the emulator's console");
            answer.push_str(&String::from_utf8_lossy(&part[..length]));
        }
    }

    fn wait_for_start_after(&mut self, starts: usize) {
        self.wait_for("another start", |log| log.matches(" starts in ").count() > starts);
    }
}
