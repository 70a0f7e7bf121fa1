//! Why a datagram is refused.

/// Why a datagram was refused. None of these says who sent it: what it claims has not been proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DatagramError {
    /// Shorter or longer than any datagram; or its contents are not a message, though they are a member's.
    Malformed,
    /// Of another version of the format, or another cipher.
    Version,
    /// Of another cluster.
    Cluster,
    /// For another node.
    Receiver,
    /// From a node that is not a member, or from this node itself.
    Sender,
    /// Under a key that this node does not have.
    Key,
    /// From or for another start of a node than the current one: late, replayed, or before a hello.
    Session,
    /// Received before, or too old to tell.
    Replayed,
    /// One hello more than is opened in a short time.
    Flood,
    /// The tag is wrong: not made with the key, changed on its way, or of a cluster or member of another identity.
    Forged,
    /// This node has been told that it is not the one its peers know, and has fallen silent.
    Retired,
}

impl DatagramError {
    /// One word for it, for counts by reason.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::Cluster => "cluster",
            Self::Receiver => "receiver",
            Self::Sender => "sender",
            Self::Key => "key",
            Self::Session => "session",
            Self::Replayed => "replayed",
            Self::Flood => "flood",
            Self::Forged => "forged",
            Self::Retired => "retired",
        }
    }
}

impl core::fmt::Display for DatagramError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a message",
            Self::Version => "another version of the format, or another cipher",
            Self::Cluster => "another cluster",
            Self::Receiver => "for another node",
            Self::Sender => "from a stranger",
            Self::Key => "under an unknown key",
            Self::Session => "from or for another start of a node",
            Self::Replayed => "received before",
            Self::Flood => "too many hellos",
            Self::Forged => "not authentic",
            Self::Retired => "this node has retired",
        })
    }
}

impl core::error::Error for DatagramError {}
