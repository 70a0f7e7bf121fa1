//! The envelope of a datagram: version, cluster, sender and receiver, checked before the message is read.

use serde::{Deserialize, Serialize};

use crate::{
    types::{ClusterId, NodeId},
    wire::{self, DATAGRAM_SIZE_MAX, Message},
};

/// Version of the wire format.
const VERSION: u8 = 1;

/// Bytes before the message.
const HEADER_SIZE: usize = 1 + 4 + 2 + 2;

/// Why a datagram was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DatagramError {
    /// Shorter than a header, longer than any message, or not a message.
    Malformed,
    /// Of another version of the wire format.
    Version,
    /// Of another cluster.
    Cluster,
    /// For another node.
    Receiver,
    /// From a node that is not a member, or from this node itself.
    Sender,
}

impl core::fmt::Display for DatagramError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a message",
            Self::Version => "another version of the wire format",
            Self::Cluster => "another cluster",
            Self::Receiver => "for another node",
            Self::Sender => "from a stranger",
        })
    }
}

impl core::error::Error for DatagramError {}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    version: u8,
    cluster_tag: [u8; 4],
    from: [u8; 2],
    to: [u8; 2],
}

/// Both ends of the conversation with the other members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    own: NodeId,
    cluster_tag: [u8; 4],
}

impl Channel {
    pub(crate) const fn new(own: NodeId, cluster: ClusterId) -> Self {
        let [a, b, c, d, ..] = cluster.0;
        Self { own, cluster_tag: [a, b, c, d] }
    }

    /// Checks a datagram and reads its message; the sender is not known to be a member yet.
    pub(crate) fn open(&self, datagram: &[u8]) -> Result<(NodeId, Message), DatagramError> {
        if datagram.len() > DATAGRAM_SIZE_MAX {
            return Err(DatagramError::Malformed);
        }
        let (header, body) = datagram.split_at_checked(HEADER_SIZE).ok_or(DatagramError::Malformed)?;
        let header: Header = postcard::from_bytes(header).map_err(|_| DatagramError::Malformed)?;
        if header.version != VERSION {
            return Err(DatagramError::Version);
        }
        if header.cluster_tag != self.cluster_tag {
            return Err(DatagramError::Cluster);
        }
        if header.to != self.own.0.to_le_bytes() {
            return Err(DatagramError::Receiver);
        }
        let from = NodeId(u16::from_le_bytes(header.from));
        if from == self.own {
            return Err(DatagramError::Sender);
        }
        Ok((from, wire::decode(body).ok_or(DatagramError::Malformed)?))
    }

    /// Writes a datagram to `buffer` and returns its length.
    pub(crate) fn seal(&self, to: NodeId, message: &Message, buffer: &mut [u8; DATAGRAM_SIZE_MAX]) -> Option<usize> {
        let header = Header {
            version: VERSION,
            cluster_tag: self.cluster_tag,
            from: self.own.0.to_le_bytes(),
            to: to.0.to_le_bytes(),
        };
        let (head, body) = buffer.split_at_mut_checked(HEADER_SIZE)?;
        postcard::to_slice(&header, head).ok()?;
        wire::encode(message, body).map(|length| HEADER_SIZE.saturating_add(length))
    }
}
