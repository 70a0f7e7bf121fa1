//! The part of a datagram that can be read without a key.

use crate::types::{Boot, Incarnation, NodeId, Session};

use super::{DatagramError, aead, words};

/// Bytes of the header of every datagram.
pub(crate) const HEADER_SIZE: usize = 20;

/// Bytes of the header of a hello and of its answer.
pub(crate) const HELLO_HEADER_SIZE: usize = HEADER_SIZE + 8 + 4 + 4;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message of the election.
    Message,
    /// "Who are you?"
    Hello,
    /// "I am", bound to the hello it answers.
    HelloReply,
}

impl Kind {
    const fn byte(self) -> u8 {
        let kind = match self {
            Self::Message => 0,
            Self::Hello => 1,
            Self::HelloReply => 2,
        };
        aead::SUITE << 4 | kind
    }

    const fn of(byte: u8) -> Option<Self> {
        match byte & 0x0F {
            0 => Some(Self::Message),
            1 => Some(Self::Hello),
            2 => Some(Self::HelloReply),
            _ => None,
        }
    }
}

/// The header of every datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the datagram is.
    pub kind: Kind,
    /// Number of the key it is sealed with.
    pub key_id: u8,
    /// Sender.
    pub from: NodeId,
    /// Receiver.
    pub to: NodeId,
    /// First bytes of the cluster's id.
    pub cluster_tag: [u8; 2],
    /// Sender's session.
    pub from_session: Session,
    /// Receiver's session; in a hello the latest that the sender knows, or 0.
    pub to_session: Session,
    /// Number of the sender's datagrams to the receiver, this one among them, since the sender's start.
    pub counter: u32,
}

/// What a hello says in the open, because its receiver needs it to open the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Sender's salt.
    pub install_salt: [u8; 8],
    /// Sender's boot.
    pub boot: Boot,
    /// Counter of the hello that is answered; 0 in a hello.
    pub echo: u32,
}

impl Introduction {
    /// The start of the node that says so under this session.
    pub(crate) const fn incarnation(&self, session: Session) -> Incarnation {
        Incarnation { install_salt: self.install_salt, boot: self.boot, session }
    }

    /// Reads what follows the header of a datagram.
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(crate) fn read(datagram: &[u8]) -> Option<Self> {
        let [low, high, boot, echo] = words::read(datagram.get(HEADER_SIZE..)?)?;
        let (install_salt, boot) = words::start([low, high, boot]);
        Some(Self { install_salt, boot, echo })
    }

    /// Writes it behind the header of a datagram.
    pub(crate) fn write(&self, datagram: &mut [u8]) -> Option<()> {
        let [low, high, boot] = words::of_start(self.install_salt, self.boot);
        words::write(datagram.get_mut(HEADER_SIZE..)?, [low, high, boot, self.echo])
    }
}

impl Header {
    /// Reads the header of a datagram.
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(crate) fn read(datagram: &[u8]) -> Result<Self, DatagramError> {
        let first = *datagram.first().ok_or(DatagramError::Malformed)?;
        if first >> 4 != aead::SUITE {
            return Err(DatagramError::Version);
        }
        let kind = Kind::of(first).ok_or(DatagramError::Version)?;
        let [first, second, from_session, to_session, counter] =
            words::read(datagram).ok_or(DatagramError::Malformed)?;
        let ([bytes, from], [to, cluster_tag]) = (words::halves(first), words::halves(second));
        let [_, key_id] = bytes.to_le_bytes();
        Ok(Self {
            kind,
            key_id,
            from: NodeId(from),
            to: NodeId(to),
            cluster_tag: cluster_tag.to_le_bytes(),
            from_session: Session(from_session),
            to_session: Session(to_session),
            counter,
        })
    }

    /// Bytes of the whole header.
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(crate) const fn size(&self) -> usize {
        match self.kind {
            Kind::Message => HEADER_SIZE,
            Kind::Hello | Kind::HelloReply => HELLO_HEADER_SIZE,
        }
    }

    /// Writes it to the beginning of a datagram.
    pub(crate) fn write(&self, datagram: &mut [u8]) -> Option<()> {
        let bytes = u16::from_le_bytes([self.kind.byte(), self.key_id]);
        let first = words::joined(bytes, self.from.0);
        let second = words::joined(self.to.0, u16::from_le_bytes(self.cluster_tag));
        words::write(datagram, [first, second, self.from_session.0, self.to_session.0, self.counter])
    }
}
