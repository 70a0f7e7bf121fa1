//! Datagrams, sealed and opened as `symphony_core::secure` specifies them and without its code: the simulator knows the
//! key and every start of every node, so it can hold each datagram to what it must be.

#[path = "../../../core/tests/common/cipher.rs"]
pub mod cipher;

pub use cipher::nonce;
use cipher::{SUITE, associated, decrypt};
use symphony_core::{ClusterId, Incarnation, Key, KeyRing, NodeId, Session};

/// The cluster of all simulations, unless a scenario has two.
pub const CLUSTER: ClusterId = ClusterId([1; 16]);

/// The key of all simulations.
const SECRET: [u8; 32] = [9; 32];

/// Its number.
const KEY_ID: u8 = 1;

/// Bytes of a message's header.
pub const HEADER_SIZE: usize = 20;

/// Bytes of the header of a hello and of its answer.
pub const HELLO_HEADER_SIZE: usize = 36;

/// Bytes of a tag.
pub const TAG_SIZE: usize = 16;

/// Bytes of a hello's text and of its answer's.
pub const HELLO_TEXT_SIZE: usize = 29;

/// The keys of all nodes.
#[must_use]
pub fn keys() -> KeyRing {
    KeyRing::new(Key::new(KEY_ID, SECRET))
}

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A message of the election.
    Message,
    /// A question for the receiver's start.
    Hello,
    /// The answer.
    HelloReply,
}

/// What everybody on the path can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// Sender.
    pub from: NodeId,
    /// Receiver.
    pub to: NodeId,
    /// The sender's start.
    pub from_session: Session,
    /// The receiver's start; 0 in a hello.
    pub to_session: Session,
    /// How many datagrams the sender has sent to this receiver in this start, this one included.
    pub counter: u32,
    /// Counter of the hello that is answered; 0 in all but an answer.
    pub echo: u32,
}

impl Header {
    /// Reads the header of a datagram.
    #[must_use]
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let short = |at: usize| Some(u16::from_le_bytes(datagram.get(at..at + 2)?.try_into().ok()?));
        let long = |at: usize| Some(u32::from_le_bytes(datagram.get(at..at + 4)?.try_into().ok()?));
        let first = *datagram.first()?;
        let kinds = [Kind::Message, Kind::Hello, Kind::HelloReply];
        let kind = kinds.into_iter().find(|kind| first == SUITE << 4 | *kind as u8)?;
        Some(Self {
            kind,
            from: NodeId(short(2)?),
            to: NodeId(short(4)?),
            from_session: Session(long(8)?),
            to_session: Session(long(12)?),
            counter: long(16)?,
            echo: if kind == Kind::Message { 0 } else { long(32)? },
        })
    }
}

/// One start of a member, with all it takes to seal in its name.
#[derive(Clone, Debug)]
pub struct Speaker {
    /// Its identity.
    pub id: NodeId,
    /// Its start.
    pub incarnation: Incarnation,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Datagrams sealed.
    pub counter: u32,
}

impl Speaker {
    /// A member of the usual cluster in its first start.
    #[must_use]
    pub fn new(id: NodeId, incarnation: Incarnation) -> Self {
        Self { id, incarnation, cluster: CLUSTER, counter: 0 }
    }

    /// Seals a datagram for a start of another member.
    pub fn seal(&mut self, kind: Kind, to: NodeId, receiver: &Incarnation, echo: u32, text: &[u8]) -> Vec<u8> {
        self.counter += 1;
        let (sender, receiver) = ((self.id, &self.incarnation), (to, receiver));
        cipher::seal((KEY_ID, &SECRET), self.cluster, sender, receiver, (kind as u8, self.counter, echo), text)
    }
}

/// Opens a datagram that `sender`, a start of the node `from`, has sealed for `receiver`, a start of the node `to` (all
/// zero for a hello), and returns its text.
#[must_use]
pub fn open(
    cluster: ClusterId,
    (from, sender): (NodeId, &Incarnation),
    (to, receiver): (NodeId, &Incarnation),
    datagram: &[u8],
) -> Option<Vec<u8>> {
    let header = Header::read(datagram)?;
    let size = if header.kind == Kind::Message { HEADER_SIZE } else { HELLO_HEADER_SIZE };
    let (head, sealed) = datagram.split_at_checked(size)?;
    let (text, tag) = sealed.split_last_chunk::<TAG_SIZE>()?;
    let mut text = text.to_vec();
    let aad = associated(head, cluster, receiver);
    let nonce = nonce(sender, from, to, header.counter);
    decrypt(&SECRET, &nonce, &aad, &mut text, tag).then_some(text)
}
