//! Datagrams that any implementation of `symphony_core::secure` makes and opens: `tests/vectors`, one file a cipher.
//!
//! Made once, by `cargo test -p symphony-core vectors -- --ignored`, and again with `--features ascon`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong may panic"
)]

use std::{fs, path::PathBuf};

use crate::common::puppet::Answer;
use serde::{Deserialize, Serialize};
use symphony_core::{
    Body, Boot, ClusterId, DATAGRAM_SIZE_MAX, DatagramError, Incarnation, Key, KeyRing, Message, NodeId, Session,
    Stamp, Term, Verdict,
    secure::{Ends, Envelope, Header, Hello, Introduction, Kind, Text},
};

const SUITE: &str = if cfg!(feature = "ascon") { "ascon-aead128" } else { "xchacha20-poly1305" };

/// One datagram, with everything that it is made from. Bytes are hexadecimal.
#[derive(Debug, Serialize, Deserialize)]
struct Vector {
    name: String,
    key_id: u8,
    key: String,
    cluster: String,
    kind: VectorKind,
    sender: Node,
    receiver: Node,
    counter: u32,
    echo: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hello: Option<VectorHello>,
    text: String,
    datagram: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum VectorKind {
    Message,
    Hello,
    HelloReply,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Node {
    id: u16,
    salt: String,
    boot: u32,
    session: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct VectorHello {
    asks: bool,
    members: u32,
    salt: String,
    boot: u32,
    session: u32,
    voted: u64,
}

impl Node {
    fn new(id: u16, start: Incarnation) -> Self {
        Self { id, salt: hex::encode(start.install_salt), boot: start.boot.0, session: start.session.0 }
    }

    fn start(&self) -> Incarnation {
        incarnation(&self.salt, self.boot, self.session)
    }
}

impl VectorHello {
    fn hello(&self) -> Hello {
        let known = incarnation(&self.salt, self.boot, self.session);
        Hello { asks: self.asks, members: self.members, known, voted: Term(self.voted) }
    }
}

impl Vector {
    fn keys(&self) -> KeyRing {
        KeyRing::new(Key::new(self.key_id, bytes(&self.key)))
    }

    fn cluster(&self) -> ClusterId {
        ClusterId(bytes(&self.cluster))
    }

    fn envelope(&self) -> Envelope {
        let kind = match self.kind {
            VectorKind::Message => Kind::Message,
            VectorKind::Hello => Kind::Hello,
            VectorKind::HelloReply => Kind::HelloReply,
        };
        let sender = self.sender.start();
        let header = Header {
            kind,
            key_id: self.key_id,
            from: NodeId(self.sender.id),
            to: NodeId(self.receiver.id),
            cluster_tag: *self.cluster().0.first_chunk().unwrap(),
            from_session: sender.session,
            to_session: self.receiver.start().session,
            counter: self.counter,
        };
        let introduction = (self.kind != VectorKind::Message).then_some(Introduction {
            install_salt: sender.install_salt,
            boot: sender.boot,
            echo: self.echo,
        });
        Envelope { header, introduction }
    }

    fn ends(&self) -> Ends {
        Ends { sender: self.sender.start(), receiver: self.receiver.start() }
    }

    fn contents(&self) -> Text {
        match (&self.message, &self.hello) {
            (Some(message), None) => Text::Message(*message),
            (None, Some(hello)) => Text::Hello(hello.hello()),
            _ => panic!("{}: a message or a hello", self.name),
        }
    }

    /// The text as it is before it is sealed, by code that the core has no part in but for its messages' fields.
    fn plain(&self) -> Vec<u8> {
        match self.contents() {
            Text::Message(message) => postcard::to_slice(&message, &mut [0; DATAGRAM_SIZE_MAX]).unwrap().to_vec(),
            Text::Hello(Hello { asks, members, known, voted }) => {
                Answer { asks, members, known, voted: voted.0 }.text().to_vec()
            }
        }
    }

    fn sealed(&self) -> Vec<u8> {
        let mut buffer = [0; DATAGRAM_SIZE_MAX];
        let envelope = self.envelope();
        let length = envelope.seal(&self.keys(), self.cluster(), &self.ends(), &self.contents(), &mut buffer).unwrap();
        buffer[..length].to_vec()
    }

    fn open(&self, datagram: &[u8]) -> Result<Text, DatagramError> {
        let envelope = Envelope::read(datagram)?;
        // The header alone has the sessions.
        let any = |start| Incarnation { session: Session(0), ..start };
        let ends = Ends { sender: any(self.sender.start()), receiver: any(self.receiver.start()) };
        envelope.open(&mut datagram.to_vec(), &self.keys(), self.cluster(), &ends)
    }
}

fn incarnation(salt: &str, boot: u32, session: u32) -> Incarnation {
    Incarnation { install_salt: bytes(salt), boot: Boot(boot), session: Session(session) }
}

fn bytes<const N: usize>(digits: &str) -> [u8; N] {
    hex::decode(digits).unwrap().try_into().unwrap()
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors").join(format!("{SUITE}.json"))
}

fn vectors() -> Vec<Vector> {
    serde_json::from_slice(&fs::read(path()).unwrap()).unwrap()
}

#[test]
fn what_is_sealed_and_opened_is_as_it_was_when_the_format_was_fixed() {
    let vectors = vectors();
    assert!(vectors.len() > 15, "{}", vectors.len());
    for vector in vectors {
        let name = &vector.name;
        assert_eq!(hex::encode(vector.plain()), vector.text, "{name}");
        assert_eq!(hex::encode(vector.sealed()), vector.datagram, "{name}");
        let datagram = hex::decode(&vector.datagram).unwrap();
        assert_eq!(Envelope::read(&datagram).unwrap(), vector.envelope(), "{name}");
        assert_eq!(vector.open(&datagram).unwrap(), vector.contents(), "{name}");
    }
}

#[test]
fn no_bit_of_a_datagram_can_be_changed() {
    for vector in vectors() {
        let datagram = hex::decode(&vector.datagram).unwrap();
        for bit in 0..datagram.len() * 8 {
            let mut changed = datagram.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(vector.open(&changed).is_err(), "{}, bit {bit}", vector.name);
        }
        for length in 0..datagram.len() {
            assert!(vector.open(&datagram[..length]).is_err(), "{}, {length} bytes", vector.name);
        }
    }
}

#[test]
fn a_datagram_opens_only_between_its_ends_in_its_cluster_under_its_key() {
    for vector in vectors() {
        let datagram = hex::decode(&vector.datagram).unwrap();
        let envelope = vector.envelope();
        let open = |keys: &KeyRing, cluster, ends: &Ends| envelope.open(&mut datagram.clone(), keys, cluster, ends);
        let (keys, cluster, ends) = (vector.keys(), vector.cluster(), vector.ends());
        let name = &vector.name;
        assert!(open(&keys, cluster, &ends).is_ok(), "{name}");

        let mut other = cluster;
        other.0[15] ^= 1;
        assert_eq!(open(&keys, other, &ends), Err(DatagramError::Forged), "{name}");
        other.0[0] ^= 1;
        assert_eq!(open(&keys, other, &ends), Err(DatagramError::Cluster), "{name}");
        let id = vector.key_id;
        assert_eq!(open(&KeyRing::new(Key::new(id, [3; 32])), cluster, &ends), Err(DatagramError::Forged), "{name}");
        let unknown = KeyRing::new(Key::new(id + 1, bytes(&vector.key)));
        assert_eq!(open(&unknown, cluster, &ends), Err(DatagramError::Key), "{name}");

        let later = |start: Incarnation| Incarnation { boot: Boot(start.boot.0 + 1), ..start };
        let from_later = Ends { sender: later(ends.sender), ..ends };
        let to_later = Ends { receiver: later(ends.receiver), ..ends };
        let is_message = vector.kind == VectorKind::Message;
        assert_eq!(open(&keys, cluster, &from_later).is_err(), is_message, "{name}: a hello tells its sender");
        assert_eq!(
            open(&keys, cluster, &to_later).is_err(),
            vector.kind != VectorKind::Hello,
            "{name}: a hello knows no receiver"
        );
    }
}

/// Writes the file anew.
#[test]
#[ignore = "writes the file that the other tests hold the core to"]
fn make() {
    let vectors: Vec<_> =
        contents().into_iter().enumerate().map(|(number, (name, text))| vector(number, name, text)).collect();
    let text = serde_json::to_string_pretty(&vectors).unwrap() + "\n";
    fs::create_dir_all(path().parent().unwrap()).unwrap();
    fs::write(path(), text).unwrap();
}

enum Contents {
    Message(Term, Body),
    /// With the session of the receiver that the sender knows.
    Hello {
        session: u32,
    },
    HelloReply(Hello),
}

fn contents() -> Vec<(&'static str, Contents)> {
    let message = |name, term, body| (name, Contents::Message(Term(term), body));
    let verdicts = [
        ("granted", Verdict::Granted),
        ("heard leader", Verdict::HeardLeader { ago_ms: 237 }),
        ("stale term", Verdict::StaleTerm),
        ("already voted", Verdict::AlreadyVoted),
        ("not eligible", Verdict::NotEligible),
    ];
    let mut contents = vec![
        message("heartbeat", 7, Body::Heartbeat { sent: Stamp(86_400_123), echo: Stamp(3_600_045) }),
        message("heartbeat, nothing to echo", 1, Body::Heartbeat { sent: Stamp(1_000), echo: Stamp(0) }),
        message(
            "heartbeat, largest numbers",
            u64::MAX,
            Body::Heartbeat { sent: Stamp(u64::MAX), echo: Stamp(u64::MAX - 1) },
        ),
        message(
            "heartbeat reply",
            7,
            Body::HeartbeatReply { echo: Stamp(86_400_123), sent: Stamp(3_600_095), promise_ms: 250, available: true },
        ),
        message(
            "heartbeat reply, no promise",
            300,
            Body::HeartbeatReply { echo: Stamp(127), sent: Stamp(128), promise_ms: 0, available: false },
        ),
        message("pre-vote", 8, Body::PreVote { round: Stamp(16_383) }),
        message("vote", 9, Body::Vote { released: Term(0) }),
        message("vote, released", 10, Body::Vote { released: Term(9) }),
        message("timeout now", 10, Body::TimeoutNow { echo: Stamp(16_384) }),
    ];
    for (name, verdict) in verdicts {
        let (round, sent) = (Stamp(40_000), Stamp(50_000));
        contents.push(message(name, 11, Body::PreVoteReply { round, verdict, sent }));
        contents.push(message(name, 12, Body::VoteReply { verdict, sent }));
    }
    let known = Incarnation { install_salt: *b"receiver", boot: Boot(3), session: Session(0x0102_0304) };
    contents.push(("hello", Contents::Hello { session: 0 }));
    let unknown = Hello { members: 0xDEAD_BEEF, ..Hello::default() };
    contents.push(("hello reply to a stranger", Contents::HelloReply(unknown)));
    contents
        .push(("hello reply that asks", Contents::HelloReply(Hello { asks: true, known, voted: Term(12), ..unknown })));
    contents.push(("hello to one met before", Contents::Hello { session: 0x0506_0708 }));
    contents
}

fn vector(number: usize, name: &str, contents: Contents) -> Vector {
    let number = u32::try_from(number).unwrap();
    let start = |salt: &[u8; 8], boot: u32| Incarnation {
        install_salt: *salt,
        boot: Boot(boot + number),
        session: Session(0x8000_0000 | boot << 16 | number),
    };
    let receiver = match contents {
        Contents::Hello { session } => Incarnation { session: Session(session), ..Incarnation::default() },
        Contents::Message(..) | Contents::HelloReply(_) => start(b"receiver", 1000),
    };
    let (kind, echo, message, hello) = match contents {
        Contents::Message(term, body) => (VectorKind::Message, 0, Some(Message { term, body }), None),
        Contents::Hello { .. } => {
            (VectorKind::Hello, 0, None, Some(Hello { members: 0xDEAD_BEEF, ..Hello::default() }))
        }
        Contents::HelloReply(hello) => (VectorKind::HelloReply, number * 1000, None, Some(hello)),
    };
    let mut vector = Vector {
        name: match &message {
            Some(Message { body: Body::PreVoteReply { .. }, .. }) => format!("pre-vote reply: {name}"),
            Some(Message { body: Body::VoteReply { .. }, .. }) => format!("vote reply: {name}"),
            _ => name.to_owned(),
        },
        key_id: u8::try_from(number).unwrap(),
        key: hex::encode(std::array::from_fn::<u8, 32, _>(|at| 0x80 + u8::try_from(at).unwrap())),
        // The name "symphony".
        cluster: "0c873ecbd3c57a0116ca9190d67c9d72".into(),
        kind,
        sender: Node::new(1 + u16::try_from(number).unwrap(), start(b"sender 8", 1)),
        receiver: Node::new(513, receiver),
        counter: 1 + number * 0x0010_0001,
        echo,
        message,
        hello: hello.map(|Hello { asks, members, known, voted }| VectorHello {
            asks,
            members,
            salt: hex::encode(known.install_salt),
            boot: known.boot.0,
            session: known.session.0,
            voted: voted.0,
        }),
        text: String::new(),
        datagram: String::new(),
    };
    vector.text = hex::encode(vector.plain());
    vector.datagram = hex::encode(vector.sealed());
    vector
}
