//! A disk with two slots for one record: a write that is torn leaves the record before it.

use crate::plan::Saved;

/// What happens to a record that a node wants saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveOutcome {
    /// It is on the disk, and the node hears so.
    Done,
    /// The sync failed, with the record on the disk or not; the node tries again.
    SyncFailed {
        /// The record is on the disk nevertheless.
        written: bool,
    },
    /// The node crashes before a byte is written.
    CrashBefore,
    /// The node crashes half-way through the write.
    CrashTorn,
    /// The node crashes before it hears that the record is on the disk.
    CrashUnheard,
    /// The node crashes before it can act on what it heard.
    CrashHeard,
    /// The node crashes when it has acted on what it heard.
    CrashActed,
}

impl SaveOutcome {
    /// Every point at which a node can crash, in the order of time.
    pub const CRASHES: [Self; 5] =
        [Self::CrashBefore, Self::CrashTorn, Self::CrashUnheard, Self::CrashHeard, Self::CrashActed];
}

/// Two slots, written in turn.
#[derive(Clone, Debug)]
pub struct Disk {
    slots: [Option<Saved>; 2],
    latest: usize,
}

impl Disk {
    /// A disk with the record of a node that has never run.
    #[must_use]
    pub fn new(saved: Saved) -> Self {
        Self { slots: [Some(saved), None], latest: 0 }
    }

    /// The record that a start finds: the latest that is whole.
    #[must_use]
    pub fn read(&self) -> Option<Saved> {
        let [latest, earlier] = [self.latest, 1 - self.latest].map(|slot| self.slots[slot].as_ref());
        latest.or(earlier).cloned()
    }

    /// Writes a record over the older one.
    pub fn write(&mut self, saved: Saved) {
        if self.slots[self.latest].is_some() {
            self.latest = 1 - self.latest;
        }
        self.slots[self.latest] = Some(saved);
    }

    /// Half of a write: the older record is gone, and nothing has come in its place.
    pub fn tear(&mut self) {
        if self.slots[self.latest].is_some() {
            self.slots[1 - self.latest] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_write_leaves_the_record_before_it() {
        let records = [1, 2, 3].map(|salt| Saved::provision([salt; 8]));
        let mut disk = Disk::new(records[0].clone());
        disk.tear();
        assert_eq!(disk.read(), Some(records[0].clone()));
        disk.write(records[1].clone());
        disk.tear();
        disk.tear();
        assert_eq!(disk.read(), Some(records[1].clone()));
        disk.write(records[2].clone());
        assert_eq!(disk.read(), Some(records[2].clone()));
    }
}
