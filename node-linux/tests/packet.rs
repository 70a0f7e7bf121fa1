//! `symphony packet decode`, on the test vectors of the format.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;
use symphony_adapters::store::{Record, Store};
use symphony_core::{Boot, Incarnation, KnownPeer, NodeId, Session};
use tempfile::TempDir;

const VECTORS: &str = include_str!("../../tests/vectors/xchacha20-poly1305.json");

fn vectors() -> Vec<Value> {
    serde_json::from_str(VECTORS).unwrap()
}

fn vector(name: &str) -> Value {
    vectors().into_iter().find(|vector| vector["name"] == name).unwrap()
}

/// A folder with the keys of a vector, and the states of both nodes.
struct Place(TempDir);

impl Place {
    fn of(vector: &Value) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        assert!(place.run(&["key", "gen", "keys"]).status.success());
        // Written over, it keeps its mode.
        fs::write(place.path("keys"), format!("send {} {}\n", vector["key_id"], vector["key"].as_str().unwrap()))
            .unwrap();
        for (own, other) in [("sender", "receiver"), ("receiver", "sender")] {
            let (mut store, _) = Store::open(&place.path(own)).unwrap();
            let Incarnation { install_salt, boot, .. } = start(&vector[own]);
            let peers = [KnownPeer { id: id(&vector[other]), incarnation: start(&vector[other]) }];
            let peers = peers.into_iter().collect();
            store.save(&Record { boot, peers, ..Record::provision(install_salt) }).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_symphony"));
        command.args(arguments).current_dir(self.0.path()).env_clear().output().unwrap()
    }

    fn decode(&self, datagram: &str, further: &[&str]) -> (String, String, Option<i32>) {
        let arguments = ["packet", "decode", datagram, "--key-file", "keys", "--cluster", "symphony"];
        let output = self.run(&[&arguments, further].concat());
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap(), output.status.code())
    }

    /// What is printed of a datagram that opens.
    fn success(&self, datagram: &str, further: &[&str]) -> String {
        let (text, error, code) = self.decode(datagram, further);
        assert_eq!((code, error.as_str()), (Some(0), ""), "{text}");
        text
    }

    /// Why it does not open.
    fn refusal(&self, datagram: &str, further: &[&str]) -> String {
        let (_, error, code) = self.decode(datagram, further);
        assert_eq!(code, Some(1), "{error}");
        error
    }
}

fn id(node: &Value) -> NodeId {
    NodeId(node["id"].as_u64().unwrap().try_into().unwrap())
}

fn start(node: &Value) -> Incarnation {
    let number = |key: &str| u32::try_from(node[key].as_u64().unwrap()).unwrap();
    let install_salt = hex::decode(node["salt"].as_str().unwrap()).unwrap().try_into().unwrap();
    Incarnation { install_salt, boot: Boot(number("boot")), session: Session(number("session")) }
}

fn datagram(vector: &Value) -> String {
    vector["datagram"].as_str().unwrap().to_owned()
}

#[test]
fn every_kind_opens_with_the_state_of_either_node() {
    for vector in vectors() {
        let place = Place::of(&vector);
        let datagram = datagram(&vector);
        for state in ["sender", "receiver"] {
            let text = place.success(&datagram, &["--state", state]);
            assert!(text.contains(&format!("counter         {}\n", vector["counter"])), "{text}");
        }
        if vector["kind"] == "hello" {
            place.success(&datagram, &[]);
        }
    }
}

#[test]
fn a_message_is_told_field_by_field() {
    let vector = vector("heartbeat reply");
    let expected = "\
kind            message
key             3
from            node 4, session 80010003
to              node 513, session 83e80003
cluster tag     0c87
counter         3145732
term            7
message         answer to a heartbeat
sent at         3600095 ms
echo            86400123 ms
promise         250 ms
available       true
";
    let place = Place::of(&vector);
    assert_eq!(place.success(&datagram(&vector), &["--state", "sender"]), expected);
    let spaced: Vec<_> =
        datagram(&vector).as_bytes().chunks(4).map(|four| String::from_utf8_lossy(four).into_owned()).collect();
    assert_eq!(place.success(&format!("0x{}", spaced.join(" ")), &["--state", "receiver"]), expected);
}

#[test]
fn an_answer_to_a_hello_is_told_field_by_field() {
    let vector = vector("hello reply that asks");
    let expected = "\
kind            answer to a hello
key             21
from            node 22, session 80010015
to              node 513, session 83e80015
cluster tag     0c87
counter         22020118
sender's salt   73656e6465722038
sender's boot   22
answers hello   21000
asks            true
members' digest deadbeef
knows receiver  salt 7265636569766572, boot 3, session 01020304
got its vote in term 12
";
    assert_eq!(Place::of(&vector).success(&datagram(&vector), &["--state", "receiver"]), expected);
}

#[test]
fn what_does_not_open_says_why() {
    let vector = vector("heartbeat");
    let place = Place::of(&vector);
    let good = datagram(&vector);
    let changed = |at: usize, digit: &str| format!("{}{digit}{}", &good[..at], &good[at + 1..]);
    let stated = ["--state", "receiver"];
    for (datagram, further, reason) in [
        (good.clone(), &[][..], "give --state, the state file of node 1 or 513"),
        (good.clone(), &["--state", "nowhere"], "nowhere: No such file"),
        (good.clone(), &["--state", "keys"], "keys holds no readable record"),
        (changed(15, "8"), &stated, "it is of another cluster: the tag of \"symphony\" is 0c87"),
        (changed(3, "7"), &stated, "keys does not have key 7"),
        (
            changed(16, "9"),
            &stated,
            "another start of node 1: the latest that its node has met is boot 1, session 80010000",
        ),
        (changed(5, "9"), &stated, "neither node 9 nor node 513 is a peer of its node"),
        (changed(42, "5"), &stated, "its tag is wrong: it was changed on its way"),
        (changed(0, "2"), &stated, "the first byte is 20: Ascon-AEAD128"),
        (good[..30].to_owned(), &stated, "15 bytes: shorter than the header"),
        (good.repeat(3), &stated, "no datagram has more than 128"),
        ("xy".into(), &stated, "not a datagram in hexadecimal"),
    ] {
        let error = place.refusal(&datagram, further);
        assert!(error.contains(reason), "{datagram}: {error}");
    }
}
