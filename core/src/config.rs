//! Membership and timing of one node, checked once.

use embassy_time::Duration;
use heapless::Vec;

use crate::types::{ClusterId, NodeId, Suffrage};

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
    /// Time between a leader's heartbeats.
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
    /// The shortest election timeout is not above the heartbeat interval.
    TimeoutNotAboveHeartbeat,
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
            Self::TimeoutNotAboveHeartbeat => {
                f.write_str("the shortest election timeout is not above the heartbeat interval")
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
    pub(crate) own: Member,
    pub(crate) cluster: ClusterId,
    pub(crate) peers: Vec<Member, PEERS_MAX, u8>,
    pub(crate) timing: Timing,
    pub(crate) seed: u64,
}

impl<const PEERS_MAX: usize> Config<PEERS_MAX> {
    /// Checks and keeps a configuration: `members` includes this node, `id`. The `seed` spreads election timeouts and
    /// must differ between nodes; it is no secret.
    ///
    /// # Errors
    /// [`ConfigError`], the first mistake found.
    pub fn new(
        cluster: ClusterId,
        id: NodeId,
        members: &[Member],
        timing: Timing,
        seed: u64,
    ) -> Result<Self, ConfigError> {
        check_timing(&timing)?;
        if members.len() > MEMBERS_MAX {
            return Err(ConfigError::TooManyMembers);
        }
        let mut own = None;
        let mut peers = Vec::new();
        for (position, member) in members.iter().enumerate() {
            if members.iter().take(position).any(|earlier| earlier.id == member.id) {
                return Err(ConfigError::DuplicateId(member.id));
            }
            if member.id == id {
                own = Some(*member);
            } else {
                peers.push(*member).map_err(|_| ConfigError::TooManyMembers)?;
            }
        }
        let own = own.ok_or(ConfigError::OwnIdMissing)?;
        if !members.iter().any(|member| member.suffrage == Suffrage::Voter) {
            return Err(ConfigError::NoVoter);
        }
        Ok(Self { own, cluster, peers, timing, seed })
    }

    /// This node's own identity.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.own.id
    }

    /// The other members.
    #[must_use]
    pub fn peers(&self) -> &[Member] {
        &self.peers
    }
}

fn check_timing(timing: &Timing) -> Result<(), ConfigError> {
    const TIMEOUT_MIN: Duration = Duration::from_millis(2);
    const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
    if timing.heartbeat_interval == Duration::from_ticks(0) {
        return Err(ConfigError::HeartbeatZero);
    }
    if timing.election_timeout_min > timing.election_timeout_max {
        return Err(ConfigError::TimeoutRangeReversed);
    }
    if timing.election_timeout_min < TIMEOUT_MIN || timing.election_timeout_max > TIMEOUT_MAX {
        return Err(ConfigError::TimeoutOutOfRange);
    }
    if timing.election_timeout_min <= timing.heartbeat_interval {
        return Err(ConfigError::TimeoutNotAboveHeartbeat);
    }
    if timing.clock_drift_max_percent >= 50 {
        return Err(ConfigError::DriftTooLarge);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(id: u16, members: &[Member], timing: Timing) -> Result<Config<4>, ConfigError> {
        Config::new(ClusterId([0; 16]), NodeId(id), members, timing, 1)
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
            (1, &three, Timing { heartbeat_interval: ms(150), ..local }, ConfigError::TimeoutNotAboveHeartbeat),
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
