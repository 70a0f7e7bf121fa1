//! Votes by the identity of the voter: a message that comes twice counts once.

/// Index of a voter: a peer's position in the configuration, or [`SELF`].
pub(crate) type Voter = usize;

/// This node's own place.
pub(crate) const SELF: Voter = 63;

/// A set of voters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally(u64);

impl Tally {
    /// This node alone.
    pub(crate) const OWN: Self = Self(1 << SELF);

    /// Whether this node is among them.
    pub(crate) fn has_own(self) -> bool {
        self.0 & Self::OWN.0 != 0
    }

    pub(crate) fn insert(&mut self, voter: Voter) {
        self.0 |= bit(voter);
    }

    pub(crate) fn contains(self, voter: Voter) -> bool {
        self.0 & bit(voter) != 0
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn count(self) -> u32 {
        let (mut rest, mut count) = (self.0, 0);
        while rest != 0 {
            rest &= rest.wrapping_sub(1);
            count += 1;
        }
        count
    }
}

/// Smallest number of voters that any two sets of share a member (thesis, section 3.4).
pub(crate) const fn majority(voters: u32) -> u32 {
    voters / 2 + 1
}

#[cfg_attr(target_os = "none", inline(never))]
fn bit(voter: Voter) -> u64 {
    u32::try_from(voter).ok().and_then(|shift| 1_u64.checked_shl(shift)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_that_comes_twice_counts_once() {
        let mut tally = Tally::default();
        tally.insert(2);
        tally.insert(2);
        tally.insert(SELF);
        tally.insert(64);
        assert_eq!(tally.count(), 2);
        assert!(tally.contains(2) && tally.contains(SELF) && !tally.contains(3));
    }

    #[test]
    fn majorities() {
        let table = [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4), (63, 32), (64, 33)];
        for (voters, quorum) in table {
            assert_eq!(majority(voters), quorum, "{voters} voters");
        }
    }
}
