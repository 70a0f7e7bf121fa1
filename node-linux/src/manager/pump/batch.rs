//! A batch as it fills: bounded by count, size and age.

use std::time::Duration;

use symphony_adapters::{broker::Delivery, item::Item};
use tokio::time::Instant;

/// A delivery whose body has been read.
pub(super) struct Entry {
    pub(super) delivery: Delivery,
    pub(super) item: Item,
    /// Milliseconds since the Unix epoch.
    pub(super) delivered_at_ms: i64,
}

impl Entry {
    pub(super) fn message_id(&self) -> &str {
        &self.delivery.message.id
    }

    fn size(&self) -> usize {
        self.delivery.message.body.len()
    }
}

/// How large and how old a batch may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) entries_max: usize,
    /// Of all bodies together, in bytes.
    pub(super) size_max: usize,
    pub(super) age_max: Duration,
    /// A queue that has nothing more for this long is idle: the batch waits no longer.
    pub(super) idle: Duration,
}

/// Entries on their way into one POST; never empty.
pub(super) struct Batch {
    limits: Limits,
    entries: Vec<Entry>,
    size: usize,
    opened: Instant,
    latest: Instant,
}

impl Batch {
    /// A batch opened by its first entry.
    pub(super) fn new(limits: Limits, now: Instant, first: Entry) -> Self {
        Self { limits, size: first.size(), entries: vec![first], opened: now, latest: now }
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// The entry itself if the batch has no room for it: it opens the next batch.
    pub(super) fn push(&mut self, now: Instant, entry: Entry) -> Result<(), Box<Entry>> {
        let size = self.size.saturating_add(entry.size());
        if self.entries.len() >= self.limits.entries_max || size > self.limits.size_max {
            return Err(Box::new(entry));
        }
        self.size = size;
        self.latest = now;
        self.entries.push(entry);
        Ok(())
    }

    /// Full or old: it leaves now.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.entries.len() >= self.limits.entries_max
            || self.size >= self.limits.size_max
            || now >= self.opened + self.limits.age_max
    }

    /// When it leaves if nothing more comes.
    pub(super) fn deadline(&self) -> Instant {
        (self.opened + self.limits.age_max).min(self.latest + self.limits.idle)
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::testing::broker::{delivery, message};

    const LIMITS: Limits =
        Limits { entries_max: 3, size_max: 10_000, age_max: Duration::from_millis(50), idle: Duration::from_millis(5) };

    fn entry(id: &str) -> Entry {
        let message = message(id);
        let item = Item::from_message(&message.content_type, &message.body).unwrap();
        Entry { delivery: delivery(message), item, delivered_at_ms: 0 }
    }

    #[test]
    fn is_bounded_by_count() {
        let now = Instant::now();
        let mut batch = Batch::new(LIMITS, now, entry("1"));
        assert!(batch.push(now, entry("2")).is_ok());
        assert!(!batch.is_over(now));
        assert!(batch.push(now, entry("3")).is_ok());
        assert!(batch.is_over(now));
        assert_eq!(batch.push(now, entry("4")).unwrap_err().message_id(), "4");
        assert_eq!(batch.into_entries().len(), 3);
    }

    #[test]
    fn is_bounded_by_size() {
        let now = Instant::now();
        let first = entry("1");
        let size_max = first.size() + 1;
        let mut batch = Batch::new(Limits { size_max, ..LIMITS }, now, first);
        assert!(batch.push(now, entry("2")).is_err());
    }

    #[test]
    fn leaves_when_the_queue_is_idle_or_the_batch_is_old() {
        let opened = Instant::now();
        let mut batch = Batch::new(LIMITS, opened, entry("1"));
        assert_eq!(batch.deadline(), opened + LIMITS.idle);
        let later = opened + Duration::from_millis(48);
        assert!(batch.push(later, entry("2")).is_ok());
        assert_eq!(batch.deadline(), opened + LIMITS.age_max);
        assert!(!batch.is_over(later));
        assert!(batch.is_over(opened + LIMITS.age_max));
    }
}
