//! The cluster's keys, on a running cluster of processes.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{fs, net::UdpSocket, os::unix::fs::PermissionsExt as _, process::Command, time::Duration};

use reqwest::StatusCode;
use symphony_core::{
    Boot, DATAGRAM_SIZE_MAX, Key, KeyRing, NodeId, Session,
    secure::{Ends, Envelope, Header, Hello, Introduction, Kind, Text},
};
use symphony_tests::{
    nodes::{Cluster, IDS, cluster_id},
    servers::free_port,
    symphony::{Symphony, Visitor, until},
};

/// Linked from the same sources as this test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_symphony-under-test");

/// What a process has to end in good order.
const GRACE: Duration = Duration::from_secs(60);

/// The key that member 1 sends with, according to its file.
fn sending_key(cluster: &Cluster) -> Key {
    let text = fs::read_to_string(cluster.path("1.keys")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("send ")).unwrap();
    let (id, secret) = line.split_once(' ').unwrap();
    Key::new(id.parse().unwrap(), hex::decode(secret).unwrap().try_into().unwrap())
}

/// Sends a hello of member 2 to member 1, as whoever has the key can make it.
fn send_hello(cluster: &Cluster, key: Key) {
    let header = Header {
        kind: Kind::Hello,
        key_id: key.id(),
        from: NodeId(2),
        to: NodeId(1),
        cluster_tag: *cluster_id().0.first_chunk().unwrap(),
        from_session: Session(7),
        to_session: Session(0),
        counter: 1,
    };
    let introduction = Introduction { install_salt: *b"a thief.", boot: Boot(1), echo: 0 };
    let envelope = Envelope { header, introduction: Some(introduction) };
    let (text, mut buffer) = (Text::Hello(Hello::default()), [0; DATAGRAM_SIZE_MAX]);
    let length = envelope.seal(&KeyRing::new(key), cluster_id(), &Ends::default(), &text, &mut buffer).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&buffer[..length], ("127.0.0.1", cluster.port(1))).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_changed_and_no_election_is_disturbed() {
    let mut cluster = Cluster::running(PROGRAM).await;
    let leader = cluster.leader(&IDS).await;
    cluster.talk(&IDS).await;
    let told = cluster.told();

    // A file that cannot be used changes nothing.
    fs::write(cluster.path("2.keys"), "send 1 oops\n").unwrap();
    cluster.process(2).signal("HUP");
    let reason = "2.keys:1: expected 64 hexadecimal digits";
    until(reason, async || cluster.log(2).contains(reason).then_some(())).await;
    cluster.talk(&IDS).await;
    cluster.copy_keys();

    let old = sending_key(&cluster);
    for (step, shown) in [("add", "sends with key 1"), ("switch", "sends with key 2"), ("drop", "sends with key 2")] {
        cluster.key(&["rotate", step, "1.keys"]);
        cluster.copy_keys();
        for id in IDS {
            let reloads = |log: String| log.lines().filter(|line| line.contains("read again: this node")).count();
            let before = reloads(cluster.log(id));
            cluster.process(id).signal("HUP");
            until("the keys are read again", async || (reloads(cluster.log(id)) > before).then_some(())).await;
            let log = cluster.log(id);
            assert!(log.lines().rfind(|line| line.contains("read again")).unwrap().contains(shown), "{log}");
            cluster.talk(&IDS).await;
            for (other, reason) in IDS.into_iter().flat_map(|other| [(other, "key"), (other, "forged")]) {
                assert_eq!(cluster.refused(other, reason).await, 0, "{step} at {id}: {other} refuses, {reason}");
            }
        }
        assert_eq!(cluster.told(), told, "after {step}");
    }
    assert_eq!(cluster.leader(&IDS).await, leader);

    let new = sending_key(&cluster);
    assert_eq!((old.id(), new.id()), (1, 2));
    send_hello(&cluster, old);
    until("the dropped key is refused", async || (cluster.refused(1, "key").await == 1).then_some(())).await;
    send_hello(&cluster, Key::new(new.id(), [0xEE; 32]));
    until("another key is refused", async || (cluster.refused(1, "forged").await == 1).then_some(())).await;
    for id in IDS {
        cluster.process(id).stop(GRACE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_wrong_key_never_joins_and_disturbs_nobody() {
    let mut cluster = Cluster::new(PROGRAM);
    let members = [1, 2];
    for id in members {
        cluster.start(id);
    }
    cluster.ready(&members).await;
    cluster.leader(&members).await;
    let [one, two, _] = cluster.told();
    let undisturbed = |cluster: &Cluster| {
        let [now_one, now_two, _] = cluster.told();
        assert_eq!((&now_one, &now_two), (&one, &two));
    };

    fs::remove_file(cluster.path("3.keys")).unwrap();
    cluster.key(&["gen", "3.keys"]);
    cluster.start(3);
    for id in members {
        until("it is refused", async || (cluster.refused(id, "forged").await >= 10).then_some(())).await;
        assert_eq!(cluster.log(id).matches("datagrams are refused").count(), 1, "said once: {}", cluster.log(id));
    }
    let (status, _) = cluster.get(3, "/readyz").await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let [.., three] = cluster.told();
    assert!(three.lines().all(|line| line.ends_with(' ')), "it knows no leader: {three}");
    undisturbed(&cluster);

    // A file of other keys alone is no step of a change, so it is taken at a start alone.
    fs::copy(cluster.path("1.keys"), cluster.path("3.keys")).unwrap();
    cluster.process(3).signal("HUP");
    let reason = "3.keys: none of its keys is in use here";
    until(reason, async || cluster.log(3).contains(reason).then_some(())).await;
    cluster.process(3).stop(GRACE);
    cluster.start(3);
    cluster.leader(&IDS).await;
    undisturbed(&cluster);
}

/// Nothing is in the way of the next attempt.
#[test]
fn a_file_of_keys_that_cannot_be_written_is_not_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.keys");
    let generate = |before: &str| {
        let script = format!("{before} exec \"$0\" key gen \"$1\"");
        Command::new("sh").args(["-c", &script, PROGRAM]).arg(&file).output().unwrap()
    };
    let failed = generate("trap '' XFSZ; ulimit -f 0;");
    let text = String::from_utf8(failed.stderr).unwrap();
    assert!(!failed.status.success() && text.contains("cluster.keys: File too large"), "{text}");
    assert!(!file.exists());
    assert!(generate("").status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_keys_others_can_read_does_not_start_and_says_why() {
    let mut cluster = Cluster::new(PROGRAM);
    fs::set_permissions(cluster.path("1.keys"), fs::Permissions::from_mode(0o644)).unwrap();
    cluster.start(1);
    assert_eq!(cluster.process(1).wait(), Some(1));
    let text = "others may read or change the cluster's keys (mode 0644); run: chmod 600 1.keys";
    assert!(cluster.log(1).contains(text), "{}", cluster.log(1));
    fs::set_permissions(cluster.path("1.keys"), fs::Permissions::from_mode(0o600)).unwrap();
    cluster.start(1);
    until("it starts now", async || cluster.get(1, "/healthz").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_record_says_so_and_stays_up_in_silence() {
    let mut cluster = Cluster::running(PROGRAM).await;
    let (_, leader) = cluster.leader(&IDS).await;
    let lost = if leader == 3 { 2 } else { 3 };
    cluster.process(lost).stop(GRACE);
    let others = |told: [String; 3]| IDS.into_iter().zip(told).filter(|(id, _)| *id != lost).collect::<Vec<_>>();
    let before = others(cluster.told());
    fs::remove_file(cluster.path(&format!("{lost}.state"))).unwrap();
    for _start in ["with a new record", "with the record that says so"] {
        cluster.start(lost);
        let reason = "this node has retired, and needs a new id";
        let answer = async || cluster.get(lost, "/readyz").await.filter(|(_, body)| body.contains(reason));
        assert_eq!(until(reason, answer).await.0, StatusCode::SERVICE_UNAVAILABLE);
        let log = cluster.log(lost);
        assert!(log.contains("give it an id that no node of the cluster ever had"), "{log}");
        assert!(cluster.process(lost).is_running());
        let (_, metrics) = cluster.get(lost, "/metrics").await.unwrap();
        let raised = format!("symphony_alarm{{node=\"{lost}\",kind=\"retired\"}} 1");
        assert!(metrics.contains(&raised), "{metrics}");
        cluster.process(lost).stop(GRACE);
    }
    assert_eq!(others(cluster.told()), before, "nobody is disturbed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_node_too_reads_its_keys_again() {
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &str, arguments: &[&str]| Symphony::start(PROGRAM, folder.path(), name, arguments, &[]);
    start("key", &["key", "gen", "symphony-data/cluster.keys"]).succeed();
    let (web, election) = (format!("127.0.0.1:{}", free_port()), format!("node.listen=127.0.0.1:{}", free_port()));
    let mut node = start("web", &["web", "--listen", &web, "--set", &election, "--set", "api.token=sixteen-letters-"]);
    let (visitor, url) = (Visitor::new(), format!("http://{web}/readyz"));
    let is_ready = async || visitor.try_get(&url).await.filter(|answer| answer.status() == StatusCode::OK);
    until("it is ready", is_ready).await;
    start("key", &["key", "rotate", "add", "symphony-data/cluster.keys"]).succeed();
    node.signal("HUP");
    until("the keys are read again", async || node.log().contains("also receives with key 2").then_some(())).await;
    assert!(is_ready().await.is_some());
    node.stop(GRACE);
}
