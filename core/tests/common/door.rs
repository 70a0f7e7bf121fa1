//! The way of a datagram into a node: what is not a member's does not get in, whatever it is, and what is a member's
//! does no harm, whatever it says.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test that goes wrong may panic")]
#![allow(unreachable_pub, reason = "every user of this module has its own part of it")]

use std::cell::RefCell;

use symphony_core::{
    Boot, Config, DATAGRAM_SIZE_MAX, Duration, Endpoint, Incarnation, Instant, KnownPeer, Member, NodeId, Saved,
    Session, Timing,
};

use super::puppet::{self, Answer, HELLO, HELLO_REPLY, MESSAGE, Puppet};

const PEERS: usize = 4;
const OWN: NodeId = NodeId(1);

/// After so many datagrams the count of them is told.
const TOLD_EVERY: u64 = 1_000_000;

const KINDS: [u8; 3] = [MESSAGE, HELLO, HELLO_REPLY];

/// Datagrams that a peer sends one after the other, at most.
const SAID_MAX: usize = 32;

/// Counters that a peer may leave out: more than a window.
const SKIPPED: u32 = 70;

/// Datagrams that a node has ready at one moment, at most: hellos, answers and messages for every peer.
const READY_MAX: usize = PEERS * 9;

/// A node that has met its peers, and what one of them could say next.
#[derive(Clone)]
struct Door {
    node: Endpoint<PEERS>,
    now: Instant,
    peer: Puppet,
    /// Counter of the node's latest hello to that peer.
    asked: u32,
    /// A message, a hello and an answer, none of which has been delivered.
    genuine: [Vec<u8>; 3],
    opened: u64,
}

thread_local! {
    static DOOR: RefCell<Door> = RefCell::new(Door::new());
}

/// Tries bytes as they are, and as a list of changes to genuine datagrams: three bytes for each, which say where, what,
/// and whether the changes so far are kept.
pub fn hold_shut(bytes: &[u8]) {
    DOOR.with_borrow_mut(|door| {
        door.refuses(bytes.to_vec());
        let mut changed = door.genuine.clone();
        for change in bytes.chunks_exact(3) {
            let which = usize::from(change[2] % 3);
            let datagram = &mut changed[which];
            let at = usize::from(change[0]) % datagram.len();
            datagram[at] ^= change[1];
            if change[2] & 0x40 != 0 {
                datagram.truncate(at.max(1));
            }
            let tried = datagram.clone();
            if change[2] & 0x80 != 0 {
                changed[which].clone_from(&door.genuine[which]);
            }
            door.refuses(tried);
        }
    });
}

/// Seals bytes as the text of every kind of datagram; and as a list of datagrams that a peer sends one after the other.
pub fn hold_sealed(bytes: &[u8]) {
    DOOR.with_borrow(|door| {
        for kind in KINDS {
            door.clone().hears(kind, bytes);
        }
        door.clone().hears_all(bytes);
    });
}

impl Door {
    fn new() -> Self {
        let members = [1, 2, 3].map(Member::voter).into_iter().chain([Member::witness(4), Member::observer(5)]);
        let members: Vec<_> = members.collect();
        let config = Config::new(puppet::CLUSTER, OWN, &members, Timing::LOCAL, puppet::keys(), 5);
        let known = |id| KnownPeer { id: NodeId(id), incarnation: Puppet::new(id).incarnation };
        let saved = Saved { peers: (2..=5).map(known).collect(), ..Saved::provision([1; 8]) };
        let now = Instant::from_secs(1_000);
        let node = Endpoint::new(config.expect("a sound configuration"), saved, now);
        let mut door = Self { node, now, peer: Puppet::new(2), asked: 0, genuine: Default::default(), opened: 0 };
        door.drain();
        let (start, answer) = (door.node.incarnation(), Answer::default());
        door.genuine = [
            door.peer.message(OWN, start, &[0, 2, 1]),
            door.peer.hello(OWN, 0),
            door.peer.reply(OWN, start, door.asked, answer),
        ];
        for genuine in &door.genuine {
            let accepted = door.node.clone().handle_datagram(door.now, &mut genuine.clone());
            assert_eq!(accepted, Ok(()), "a genuine datagram gets in");
        }
        door
    }

    /// A fuzzer finds out what a genuine datagram is, and that one gets in.
    fn refuses(&mut self, mut datagram: Vec<u8>) {
        if self.genuine.contains(&datagram) {
            return;
        }
        self.opened += 1;
        if self.opened.is_multiple_of(TOLD_EVERY) {
            eprintln!("datagrams tried: {}", self.opened);
        }
        // Hellos are paid for by time.
        self.now += Duration::from_millis(10);
        let view = |node: &Endpoint<PEERS>| (node.role(), node.leader(), node.term(), node.next_deadline());
        let before = view(&self.node);
        let result = self.node.handle_datagram(self.now, &mut datagram);
        assert!(result.is_err(), "a datagram that nobody sent was taken in");
        let after = view(&self.node);
        assert_eq!((after.0, after.1, after.2), (before.0, before.1, before.2), "it has changed something");
    }

    /// Takes in what the peer seals, whatever the text.
    fn hears(&mut self, kind: u8, text: &[u8]) {
        let incarnation = self.node.incarnation();
        let (receiver, echo) = match kind {
            HELLO => (Default::default(), 0),
            HELLO_REPLY => (incarnation, self.asked),
            _ => (incarnation, 0),
        };
        let mut datagram = self.peer.seal(kind, OWN, receiver, echo, text);
        let before = self.node.saved().clone();
        let result = self.node.handle_datagram(self.now, &mut datagram);
        let after = self.node.saved();
        assert!(after.term >= before.term && after.boot == before.boot, "a term or a boot fell");
        assert!(result.is_ok() || *after == before, "what is refused has changed something");
        let is_hello_text = text.len() == Answer::default().text().len();
        assert!(result.is_err() || kind == MESSAGE || is_hello_text, "a hello of another length");
        let again = self.node.clone().handle_datagram(self.now, &mut self.resealed(kind, receiver, echo, text));
        assert!(again.is_err() || kind != MESSAGE, "a message counts twice");
        self.drain();
    }

    /// The latest datagram of the peer once more.
    fn resealed(&self, kind: u8, receiver: Incarnation, echo: u32, text: &[u8]) -> Vec<u8> {
        let latest = self.peer.counter.wrapping_sub(1);
        self.peer.clone_at(latest).seal(kind, OWN, receiver, echo, text)
    }

    /// For each, two bytes say what has happened to the peer before, what it sends, and of what length.
    fn hears_all(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        for _ in 0..SAID_MAX {
            let Some(([control, size], after)) = rest.split_first_chunk() else { return };
            let (text, after) = after.split_at(usize::from(size % 64).min(after.len()));
            rest = after;
            if control & 4 != 0 {
                let Incarnation { install_salt, boot, session } = self.peer.incarnation;
                let incarnation = Incarnation { install_salt, boot: Boot(boot.0 + 1), session: Session(session.0 + 1) };
                self.peer = Puppet { incarnation, counter: 0, ..self.peer.clone() };
            }
            if control & 8 != 0 {
                self.peer.counter += SKIPPED;
            }
            self.now += Duration::from_millis(u64::from(control >> 4) * 20);
            self.hears(KINDS[usize::from(control & 3) % KINDS.len()], text);
        }
    }

    fn drain(&mut self) {
        let mut buffer = [0; DATAGRAM_SIZE_MAX];
        self.node.handle_timeout(self.now);
        while let Some(saved) = self.node.poll_persist() {
            self.node.handle_persisted(self.now, &saved);
        }
        let mut ready = 0;
        while let Some(transmit) = self.node.poll_transmit(self.now, &mut buffer) {
            ready += 1;
            assert!(ready <= READY_MAX, "more datagrams than there are to send");
            if transmit.to == self.peer.id && buffer[0] & 15 == HELLO {
                self.asked = u32::from_le_bytes([buffer[16], buffer[17], buffer[18], buffer[19]]);
            }
        }
        while self.node.poll_event(self.now).is_some() {}
    }
}
