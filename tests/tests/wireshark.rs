//! The dissector of `contrib/symphony.lua`, on a capture of a running cluster.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

use std::{
    net::UdpSocket,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use libtest_mimic::Arguments;
use symphony_core::secure::{Envelope, Header, Kind};
use symphony_tests::{
    nodes::{Cluster, IDS},
    servers::{find_program, trial, wait_until},
    symphony::Symphony,
};

/// Linked from the same sources as this test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_symphony-under-test");

const DISSECTOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contrib/symphony.lua");

/// Fields of a datagram, in the order in which tshark is asked for them; the last one is the datagram itself.
const FIELDS: [&str; 16] = [
    "symphony.cipher",
    "symphony.kind",
    "symphony.key",
    "symphony.from",
    "symphony.to",
    "symphony.cluster",
    "symphony.from_session",
    "symphony.to_session",
    "symphony.counter",
    "symphony.salt",
    "symphony.boot",
    "symphony.echo",
    "symphony.text",
    "symphony.tag",
    "_ws.expert.message",
    "udp.payload",
];

/// Neither a version of the format nor long enough for one.
const STRANGE: &[u8] = &[0x95, 0x01];
const SHORT: &[u8] = &[0x10, 0x01];

/// So many datagrams of each kind are waited for, and opened.
const OF_EACH_KIND: usize = 6;

const PATIENCE: Duration = Duration::from_secs(180);

fn main() {
    let needed: &[&str] = if may_capture() { &["tshark", "dumpcap"] } else { &["dumpcap with the right to capture"] };
    let trials = vec![trial("every_field_of_a_running_cluster_is_told_as_it_was_sent", needed, every_field)];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn may_capture() -> bool {
    let Some(dumpcap) = find_program("dumpcap") else { return false };
    let interfaces = Command::new(dumpcap).arg("-D").output();
    interfaces.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).lines().any(|line| line.contains(". lo")))
}

/// A capture under way, which ends when this is dropped.
struct Capture(Child);

impl Capture {
    fn start(file: &Path, ports: &[u16]) -> Self {
        let filter: Vec<_> = ports.iter().map(|port| format!("udp dst port {port}")).collect();
        let mut command = Command::new(find_program("dumpcap").unwrap());
        command.args(["-q", "-P", "-i", "lo", "-f", &filter.join(" or "), "-w"]).arg(file);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // One that has ended is no failure.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One line of tshark for each datagram in the file.
fn dissect(file: &Path, ports: &[u16]) -> Vec<Vec<String>> {
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    let mut command = Command::new(find_program("tshark").unwrap());
    command.arg("-r").arg(file).args(["-X", &format!("lua_script:{DISSECTOR}")]);
    command.args(["-o", &format!("symphony.ports:{}", ports.join(",")), "-T", "fields", "-E", "separator=|"]);
    command.args(FIELDS.iter().flat_map(|field| ["-e", field]));
    // A file that is still written to may end amid a datagram: tshark shows those before it, and then complains.
    let output = command.output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

fn every_field() {
    let mut cluster = Cluster::new(PROGRAM);
    let ports = IDS.map(|id| cluster.port(id));
    let file = cluster.path("capture.pcap");
    let capture = Capture::start(&file, &ports);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let strangers = || {
        for stranger in [STRANGE, SHORT] {
            socket.send_to(stranger, ("127.0.0.1", ports[0])).unwrap();
        }
    };
    // It captures once it has a datagram of ours.
    let captures = wait_until(PATIENCE, || {
        strangers();
        dissect(&file, &ports).len() >= 2
    });
    assert!(captures, "nothing is captured");
    for id in IDS {
        cluster.start(id);
    }
    let is_of = |kind: &'static str| move |row: &&Vec<String>| row[1] == kind && row[14].is_empty();
    let mut rows = Vec::new();
    let complete = wait_until(PATIENCE, || {
        rows = dissect(&file, &ports);
        ["0", "1", "2"].into_iter().all(|kind| rows.iter().filter(is_of(kind)).count() >= OF_EACH_KIND)
    });
    assert!(complete, "too few of a kind: {rows:?}");
    drop(capture);
    for row in &rows {
        check(row);
    }
    for (kind, name) in [("0", "message"), ("1", "hello"), ("2", "answer to a hello")] {
        for row in rows.iter().filter(is_of(kind)).take(OF_EACH_KIND) {
            check_decoded(&cluster, row, name);
        }
    }
}

/// Compares what tshark shows with what the core reads.
fn check(row: &[String]) {
    let datagram = hex::decode(&row[15]).unwrap();
    let (first, shown) = (datagram[0], &row[..15]);
    assert_eq!((&shown[0], &shown[1]), (&(first >> 4).to_string(), &(first & 15).to_string()));
    if datagram == STRANGE || datagram == SHORT {
        let text = if datagram == STRANGE { "Another version" } else { "Shorter than" };
        assert!(shown[14].starts_with(text) && shown[2..14].iter().all(String::is_empty), "{row:?}");
        return;
    }
    let Envelope { header, introduction } = Envelope::read(&datagram).unwrap();
    let Header { kind, key_id, from, to, cluster_tag, from_session, to_session, counter } = header;
    let size = if kind == Kind::Message { 20 } else { 36 };
    let (text, tag) = datagram[size..].split_last_chunk::<16>().unwrap();
    let of_hello = |value: fn(&symphony_core::secure::Introduction) -> String| {
        introduction.as_ref().map(value).unwrap_or_default()
    };
    let expected = [
        key_id.to_string(),
        from.0.to_string(),
        to.0.to_string(),
        hex::encode(cluster_tag),
        format!("0x{:08x}", from_session.0),
        format!("0x{:08x}", to_session.0),
        counter.to_string(),
        of_hello(|hello| hex::encode(hello.install_salt)),
        of_hello(|hello| hello.boot.0.to_string()),
        of_hello(|hello| hello.echo.to_string()),
        hex::encode(text),
        hex::encode(tag),
        String::new(),
    ];
    assert_eq!(shown[2..], expected);
}

/// The state of either node opens it: here the sender's for one half, the receiver's for the other.
fn check_decoded(cluster: &Cluster, row: &[String], kind: &str) {
    let Header { from, to, counter, .. } = Envelope::read(&hex::decode(&row[15]).unwrap()).unwrap().header;
    let state = format!("{}.state", if counter % 2 == 0 { from.0 } else { to.0 });
    let arguments = ["packet", "decode", &row[15], "--key-file", "1.keys", "--cluster", "symphony", "--state", &state];
    let mut decode = Symphony::start(PROGRAM, &cluster.path(""), "decode", arguments, &[]);
    decode.succeed();
    let text = decode.output();
    assert!(text.starts_with(&format!("kind            {kind}\n")), "{text}");
    let further = if kind == "message" { "\nterm " } else { "\nmembers' digest " };
    assert!(text.contains(further) && text.contains(&format!("\ncounter         {counter}\n")), "{text}");
}
