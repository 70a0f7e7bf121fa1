//! A member that the test plays, with an own implementation of what `symphony_core::secure` specifies.

#![allow(dead_code, unreachable_pub, reason = "every user of this module has its own part of it")]
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test that goes wrong may panic")]

#[path = "cipher.rs"]
mod cipher;

pub use cipher::MESSAGE;
use cipher::{associated, decrypt, nonce};
use symphony_core::{Boot, ClusterId, Incarnation, Key, KeyRing, NodeId, Session};

pub const CLUSTER: ClusterId = ClusterId(*b"a cluster, 16 b.");
pub const SECRET: [u8; 32] = [9; 32];
pub const KEY_ID: u8 = 1;

pub const HELLO: u8 = 1;
pub const HELLO_REPLY: u8 = 2;

pub fn keys() -> KeyRing {
    KeyRing::new(Key::new(KEY_ID, SECRET))
}

/// A member, or somebody who would be one.
#[derive(Clone, Debug)]
pub struct Puppet {
    pub id: NodeId,
    pub incarnation: Incarnation,
    pub cluster: ClusterId,
    pub key: (u8, [u8; 32]),
    pub counter: u32,
}

/// A datagram that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub kind: u8,
    pub to: NodeId,
    pub sender: Incarnation,
    pub counter: u32,
    /// Counter of the hello that is answered.
    pub echo: u32,
    pub text: Vec<u8>,
}

impl Puppet {
    pub fn new(id: u16) -> Self {
        let salt = u8::try_from(id).expect("small ids");
        let incarnation = Incarnation { install_salt: [salt; 8], boot: Boot(1), session: Session(7) };
        Self { id: NodeId(id), incarnation, cluster: CLUSTER, key: (KEY_ID, SECRET), counter: 0 }
    }

    /// The same with another counter.
    pub fn clone_at(&self, counter: u32) -> Self {
        Self { counter, ..self.clone() }
    }

    pub fn message(&mut self, to: NodeId, receiver: Incarnation, text: &[u8]) -> Vec<u8> {
        self.seal(MESSAGE, to, receiver, 0, text)
    }

    pub fn hello(&mut self, to: NodeId, members: u32) -> Vec<u8> {
        let mut text = [0; 29];
        text[1..5].copy_from_slice(&members.to_le_bytes());
        self.seal(HELLO, to, Incarnation::default(), 0, &text)
    }

    /// The answer to a hello of `receiver` with the counter `echo`.
    pub fn reply(&mut self, to: NodeId, receiver: Incarnation, echo: u32, answer: Answer) -> Vec<u8> {
        self.seal(HELLO_REPLY, to, receiver, echo, &answer.text())
    }

    pub fn seal(&mut self, kind: u8, to: NodeId, receiver: Incarnation, echo: u32, text: &[u8]) -> Vec<u8> {
        self.counter = self.counter.wrapping_add(1);
        let (key, sender) = ((self.key.0, &self.key.1), (self.id, &self.incarnation));
        cipher::seal(key, self.cluster, sender, (to, &receiver), (kind, self.counter, echo), text)
    }

    /// Opens what `sender` has sent to this member.
    pub fn open(&self, sender: Incarnation, datagram: &[u8]) -> Option<Opened> {
        let number = |at: usize| u32::from_le_bytes(datagram[at..at + 4].try_into().expect("four bytes"));
        let short = |at: usize| NodeId(u16::from_le_bytes([datagram[at], datagram[at + 1]]));
        let kind = datagram[0] & 15;
        let size = if kind == MESSAGE { 20 } else { 36 };
        let receiver = if kind == HELLO { Incarnation::default() } else { self.incarnation };
        let (head, sealed) = datagram.split_at_checked(size)?;
        let (text, tag) = sealed.split_last_chunk::<16>()?;
        let mut text = text.to_vec();
        let nonce = nonce(&sender, short(2), short(4), number(16));
        decrypt(&self.key.1, &nonce, &associated(head, self.cluster, &receiver), &mut text, tag).then_some(Opened {
            kind,
            to: short(4),
            sender,
            counter: number(16),
            echo: if kind == MESSAGE { 0 } else { number(32) },
            text,
        })
    }
}

/// What an answer to a hello tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer {
    pub asks: bool,
    pub members: u32,
    pub known: Incarnation,
    pub voted: u64,
}

impl Answer {
    pub fn text(&self) -> [u8; 29] {
        let mut text = [0; 29];
        text[0] = u8::from(self.asks);
        text[1..5].copy_from_slice(&self.members.to_le_bytes());
        text[5..13].copy_from_slice(&self.known.install_salt);
        text[13..17].copy_from_slice(&self.known.boot.0.to_le_bytes());
        text[17..21].copy_from_slice(&self.known.session.0.to_le_bytes());
        text[21..].copy_from_slice(&self.voted.to_le_bytes());
        text
    }
}
