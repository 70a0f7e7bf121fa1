//! Membership and timing of one node, checked once.

use embassy_time::Duration;
use heapless::Vec;

use crate::{
    quorum::majority,
    secure::KeyRing,
    time::clamp,
    types::{ClusterId, NodeId, Suffrage},
};

/// Members of a cluster, at most: votes are tallied in the bits of one word.
pub const MEMBERS_MAX: usize = 64;

/// A member of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Member {
    /// Its identity.
    pub id: NodeId,
    /// Its part in elections.
    pub suffrage: Suffrage,
    /// A healthy member of higher priority is handed the leadership.
    pub priority: u8,
}

impl Member {
    /// A voter of priority 0.
    #[must_use]
    pub const fn voter(id: u16) -> Self {
        Self { id: NodeId(id), suffrage: Suffrage::Voter, priority: 0 }
    }

    /// A witness.
    #[must_use]
    pub const fn witness(id: u16) -> Self {
        Self { id: NodeId(id), suffrage: Suffrage::Witness, priority: 0 }
    }

    /// An observer.
    #[must_use]
    pub const fn observer(id: u16) -> Self {
        Self { id: NodeId(id), suffrage: Suffrage::Observer, priority: 0 }
    }

    /// The same member with another priority.
    #[must_use]
    pub const fn with_priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }
}

/// How patient a node is (thesis, section 9.3). All members should have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Timing {
    /// Time between a leader's heartbeats, at most half the shortest election timeout. A heartbeat counts, and carries a
    /// lease on, only if it echoes an answer younger than that timeout: leadership is steady while the interval and a
    /// round trip together are shorter, and every datagram more that may be lost takes another interval.
    pub heartbeat_interval: Duration,
    /// Shortest wait for a heartbeat before an election; also how long a voter stands by a leader it has heard.
    pub election_timeout_min: Duration,
    /// Longest wait for a heartbeat before an election; also how long a leader leads without hearing from a quorum.
    pub election_timeout_max: Duration,
    /// How far any member's clock may run fast or slow, per cent of true time, below 50. Only the lease depends on it.
    pub clock_drift_max_percent: u8,
}

impl Timing {
    /// For a local network: heartbeats every 50 ms, elections after 150 to 300 ms, clocks true to 1 per cent.
    pub const LOCAL: Self = Self {
        heartbeat_interval: Duration::from_millis(50),
        election_timeout_min: Duration::from_millis(150),
        election_timeout_max: Duration::from_millis(300),
        clock_drift_max_percent: 1,
    };
}

/// Why a configuration cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// The members do not include this node.
    OwnIdMissing,
    /// Two members have this id.
    DuplicateId(NodeId),
    /// More members than [`MEMBERS_MAX`], or more peers than `PEERS_MAX`.
    TooManyMembers,
    /// Nobody may become leader.
    NoVoter,
    /// The heartbeat interval is not above zero.
    HeartbeatZero,
    /// The shortest election timeout is below twice the heartbeat interval ([`Timing::heartbeat_interval`]).
    TimeoutBelowTwoHeartbeats,
    /// The shortest election timeout is above the longest.
    TimeoutRangeReversed,
    /// A timeout is below a millisecond's resolution or above an hour.
    TimeoutOutOfRange,
    /// The clock drift is not below 50 per cent.
    DriftTooLarge,
}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::OwnIdMissing => f.write_str("the members do not include this node's own id"),
            Self::DuplicateId(id) => write!(f, "two members have the id {}", id.0),
            Self::TooManyMembers => f.write_str("too many members"),
            Self::NoVoter => f.write_str("no member is a voter, so nobody may become leader"),
            Self::HeartbeatZero => f.write_str("the heartbeat interval is zero"),
            Self::TimeoutBelowTwoHeartbeats => {
                f.write_str("the shortest election timeout is below twice the heartbeat interval")
            }
            Self::TimeoutRangeReversed => f.write_str("the shortest election timeout is above the longest"),
            Self::TimeoutOutOfRange => f.write_str("an election timeout is below 2 ms or above an hour"),
            Self::DriftTooLarge => f.write_str("the clock drift is not below 50 per cent"),
        }
    }
}

impl core::error::Error for ConfigError {}

/// Everything a node must know before it starts; valid once made.
#[derive(Clone, Debug)]
pub struct Config<const PEERS_MAX: usize> {
    pub(crate) settings: Settings,
    pub(crate) peers: Vec<Member, PEERS_MAX, u8>,
    pub(crate) seed: u64,
}

/// What of it a node must know for as long as it runs. What is used most comes first, as in [`crate::election::Election`].
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Settings {
    pub(crate) own: Member,
    /// Votes that make a majority of the voters.
    pub(crate) quorum: u32,
    pub(crate) timing: Ticks,
    pub(crate) cluster: ClusterId,
    pub(crate) keys: KeyRing,
}

/// The timing in ticks: an hour, the longest there is, has fewer than 2^32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    pub(crate) heartbeat_interval: u32,
    pub(crate) election_timeout_min: u32,
    pub(crate) election_timeout_max: u32,
    pub(crate) clock_drift_max_percent: u8,
}

impl<const PEERS_MAX: usize> Config<PEERS_MAX> {
    /// Checks and keeps a configuration: `members` includes this node, `id`. The `seed` spreads election timeouts and
    /// makes the number of a start: draw it anew for every start, from whatever randomness there is. It is no secret.
    ///
    /// # Errors
    /// [`ConfigError`], the first mistake found.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn new(
        cluster: ClusterId,
        id: NodeId,
        members: &[Member],
        timing: Timing,
        keys: KeyRing,
        seed: u64,
    ) -> Result<Self, ConfigError> {
        let Checked { own, timing, quorum } = check(id, members, &timing, PEERS_MAX)?;
        let mut peers = Vec::new();
        for member in members.iter().filter(|member| member.id != id) {
            let _ = peers.push(*member);
        }
        Ok(Self { settings: Settings { own, cluster, timing, quorum, keys }, peers, seed })
    }

    /// This node's own identity.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.settings.own.id
    }

    /// The other members.
    #[must_use]
    pub fn peers(&self) -> &[Member] {
        &self.peers
    }

    /// This node and the other members.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.peers.iter().chain([&self.settings.own])
    }

    /// One of something for every peer, in the same order. `collect` would link a panic for want of room.
    pub(crate) fn map_peers<T>(&self, make: impl FnMut(&Member) -> T) -> Vec<T, PEERS_MAX, u8> {
        let mut all = Vec::new();
        for one in self.peers.iter().map(make) {
            let _ = all.push(one);
        }
        all
    }
}

/// What is kept of a configuration beside its secrets and the peers.
struct Checked {
    own: Member,
    timing: Ticks,
    quorum: u32,
}

/// Once for all capacities, and before there is a key to be wiped.
#[cfg_attr(target_os = "none", inline(never))]
fn check(id: NodeId, members: &[Member], timing: &Timing, peers_max: usize) -> Result<Checked, ConfigError> {
    let timing = check_timing(timing)?;
    if members.len() > MEMBERS_MAX || members.len() > peers_max.saturating_add(1) {
        return Err(ConfigError::TooManyMembers);
    }
    let (mut own, mut has_voter, mut votes) = (None, false, 0_u32);
    let mut rest = members;
    while let [member, others @ ..] = rest {
        if others.iter().any(|other| other.id == member.id) {
            return Err(ConfigError::DuplicateId(member.id));
        }
        if member.id == id {
            own = Some(*member);
        }
        has_voter |= member.suffrage == Suffrage::Voter;
        votes = votes.saturating_add(member.suffrage.votes().into());
        rest = others;
    }
    let own = own.ok_or(ConfigError::OwnIdMissing)?;
    if has_voter { Ok(Checked { own, timing, quorum: majority(votes) }) } else { Err(ConfigError::NoVoter) }
}

fn check_timing(timing: &Timing) -> Result<Ticks, ConfigError> {
    const TIMEOUT_MIN: u32 = Duration::from_millis(2).as_ticks() as u32;
    const TIMEOUT_MAX: u32 = Duration::from_secs(3600).as_ticks() as u32;
    let timing = Ticks {
        heartbeat_interval: clamp(timing.heartbeat_interval.as_ticks()),
        election_timeout_min: clamp(timing.election_timeout_min.as_ticks()),
        election_timeout_max: clamp(timing.election_timeout_max.as_ticks()),
        clock_drift_max_percent: timing.clock_drift_max_percent,
    };
    if timing.heartbeat_interval == 0 {
        return Err(ConfigError::HeartbeatZero);
    }
    if timing.election_timeout_min > timing.election_timeout_max {
        return Err(ConfigError::TimeoutRangeReversed);
    }
    if timing.election_timeout_min < TIMEOUT_MIN || timing.election_timeout_max > TIMEOUT_MAX {
        return Err(ConfigError::TimeoutOutOfRange);
    }
    if timing.election_timeout_min / 2 < timing.heartbeat_interval {
        return Err(ConfigError::TimeoutBelowTwoHeartbeats);
    }
    if timing.clock_drift_max_percent >= 50 {
        return Err(ConfigError::DriftTooLarge);
    }
    Ok(timing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure::Key;

    fn config(id: u16, members: &[Member], timing: Timing) -> Result<Config<4>, ConfigError> {
        Config::new(ClusterId([0; 16]), NodeId(id), members, timing, KeyRing::new(Key::new(1, [1; 32])), 1)
    }

    #[test]
    fn every_mistake_has_its_own_error() {
        let three = [Member::voter(1), Member::voter(2), Member::witness(3)];
        let local = Timing::LOCAL;
        let ms = Duration::from_millis;
        for (id, members, timing, error) in [
            (9, &three[..], local, ConfigError::OwnIdMissing),
            (1, &[Member::voter(1), Member::voter(1)], local, ConfigError::DuplicateId(NodeId(1))),
            (1, &[1, 2, 3, 4, 5, 6].map(Member::voter), local, ConfigError::TooManyMembers),
            (1, &[1; 65].map(Member::voter), local, ConfigError::TooManyMembers),
            (1, &[Member::witness(1), Member::observer(2)], local, ConfigError::NoVoter),
            (1, &three, Timing { heartbeat_interval: ms(0), ..local }, ConfigError::HeartbeatZero),
            (1, &three, Timing { heartbeat_interval: ms(76), ..local }, ConfigError::TimeoutBelowTwoHeartbeats),
            (1, &three, Timing { election_timeout_min: ms(301), ..local }, ConfigError::TimeoutRangeReversed),
            (1, &three, Timing { election_timeout_max: ms(3_600_001), ..local }, ConfigError::TimeoutOutOfRange),
            (1, &three, Timing { election_timeout_min: ms(1), ..local }, ConfigError::TimeoutOutOfRange),
            (1, &three, Timing { clock_drift_max_percent: 50, ..local }, ConfigError::DriftTooLarge),
        ] {
            assert_eq!(config(id, members, timing).err(), Some(error));
        }
        assert!(config(3, &three, local).is_ok());
    }
}
