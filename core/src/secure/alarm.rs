//! What a person should know of: a retirement is for good; the rest is over when the peer answers as it should.

use super::{Channels, Own};
use crate::types::NodeId;

/// Something is wrong with the cluster's identities; proven by an authentic, fresh answer of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Alarm {
    /// This node has fallen silent for good: its record says so, and it stays so when it is started again. Provision it
    /// under an id that has never been used.
    Retired(Retirement),
    /// Another installation answers under this peer's id, and is not listened to.
    Impostor {
        /// The id.
        peer: NodeId,
    },
    /// This peer runs on an old copy of its record, and is not listened to.
    PeerRolledBack {
        /// Its identity.
        peer: NodeId,
    },
    /// This peer is configured with other members.
    MembersDiffer {
        /// Its identity.
        peer: NodeId,
    },
}

/// Why a node has retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Retirement {
    /// This peer knows another installation under this node's id: one of the two is a copy, or the record was lost.
    IdTaken {
        /// Who knows.
        by: NodeId,
    },
    /// This peer knows a later start of this node, or a vote that its record does not: the record is an old copy.
    RolledBack {
        /// Who knows.
        by: NodeId,
    },
    /// It has sent all the datagrams that can be told apart, in all the starts that can.
    Exhausted,
    /// It retired before it was started.
    Earlier,
}

impl core::fmt::Display for Alarm {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Retired(why) => write!(f, "this node has retired, and needs a new id: {why}"),
            Self::Impostor { peer } => write!(f, "another installation uses the id {}; it is not listened to", peer.0),
            Self::PeerRolledBack { peer } => {
                write!(f, "node {} runs on an old copy of its record; it is not listened to", peer.0)
            }
            Self::MembersDiffer { peer } => write!(f, "node {} is configured with other members", peer.0),
        }
    }
}

impl core::fmt::Display for Retirement {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::IdTaken { by } => write!(f, "node {} knows another installation under its id", by.0),
            Self::RolledBack { by } => write!(f, "its record is an old copy, as node {} has shown", by.0),
            Self::Exhausted => f.write_str("it has counted all starts that a record can count"),
            Self::Earlier => f.write_str("its record says so"),
        }
    }
}

/// What may be wrong with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerAlarm {
    Impostor,
    RolledBack,
    MembersDiffer,
}

impl PeerAlarm {
    const ALL: [Self; 3] = [Self::Impostor, Self::RolledBack, Self::MembersDiffer];

    const fn bit(self) -> u8 {
        match self {
            Self::Impostor => 1,
            Self::RolledBack => 2,
            Self::MembersDiffer => 4,
        }
    }

    /// The first of those whose bits these are.
    const fn first_of(bits: u8) -> Option<Self> {
        match bits & bits.wrapping_neg() {
            1 => Some(Self::Impostor),
            2 => Some(Self::RolledBack),
            4 => Some(Self::MembersDiffer),
            _ => None,
        }
    }

    const fn of(self, peer: NodeId) -> Alarm {
        match self {
            Self::Impostor => Alarm::Impostor { peer },
            Self::RolledBack => Alarm::PeerRolledBack { peer },
            Self::MembersDiffer => Alarm::MembersDiffer { peer },
        }
    }
}

/// What has been found wrong with a peer, and what of it has been reported.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Alarms {
    raised: u8,
    reported: u8,
}

impl Alarms {
    pub(super) const fn raise(&mut self, alarm: PeerAlarm) {
        self.raised |= alarm.bit();
    }

    pub(super) const fn clear(&mut self, alarm: PeerAlarm) {
        self.raised &= !alarm.bit();
        self.reported &= !alarm.bit();
    }

    fn raised(self) -> impl Iterator<Item = PeerAlarm> {
        PeerAlarm::ALL.into_iter().filter(move |alarm| self.raised & alarm.bit() != 0)
    }

    const fn has_news(self) -> bool {
        self.raised & !self.reported != 0
    }

    /// The next alarm that has not been reported; it is now.
    fn report(&mut self) -> Option<PeerAlarm> {
        let alarm = PeerAlarm::first_of(self.raised & !self.reported)?;
        self.reported |= alarm.bit();
        Some(alarm)
    }
}

impl<const PEERS_MAX: usize> Channels<PEERS_MAX> {
    /// The next alarm that has not been reported.
    pub(crate) fn poll_alarm(&mut self, own: Own<'_, PEERS_MAX>) -> Option<Alarm> {
        if let Some(retirement) = self.retirement.filter(|_| !self.retirement_reported) {
            self.retirement_reported = true;
            return Some(Alarm::Retired(retirement));
        }
        let mut channels = self.channels.iter_mut().zip(&own.saved.peers);
        channels.find_map(|(channel, peer)| {
            let alarm = channel.alarms.report()?;
            Some(alarm.of(peer.id))
        })
    }

    /// All that is wrong.
    pub(crate) fn alarms(&self, own: Own<'_, PEERS_MAX>) -> impl Iterator<Item = Alarm> {
        let of_peers = self.channels.iter().zip(&own.saved.peers);
        let of_peers = of_peers.flat_map(|(channel, peer)| channel.alarms.raised().map(|alarm| alarm.of(peer.id)));
        self.retirement.map(Alarm::Retired).into_iter().chain(of_peers)
    }

    /// Whether [`Self::poll_alarm`] would yield.
    pub(crate) fn alarm_waits(&self) -> bool {
        self.retirement.is_some() && !self.retirement_reported
            || self.channels.iter().any(|channel| channel.alarms.has_news())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_ends_alone() {
        let mut alarms = Alarms::default();
        alarms.raise(PeerAlarm::Impostor);
        alarms.raise(PeerAlarm::MembersDiffer);
        assert_eq!((alarms.report(), alarms.report()), (Some(PeerAlarm::Impostor), Some(PeerAlarm::MembersDiffer)));
        alarms.clear(PeerAlarm::Impostor);
        assert!(alarms.raised().eq([PeerAlarm::MembersDiffer]) && !alarms.has_news(), "the other stays, and was told");
        alarms.raise(PeerAlarm::Impostor);
        assert_eq!((alarms.report(), alarms.report()), (Some(PeerAlarm::Impostor), None), "it is told again");
    }
}
