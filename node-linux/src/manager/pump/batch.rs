//! A batch as it fills: bounded by count, bytes and age.

use std::time::Duration;

use symphony_adapters::{
    broker::Delivery,
    database::Incoming,
    http::api::ItemsRequest,
    item::Item,
};
use tokio::time::Instant;

/// A delivery whose body has been read.
pub(super) struct Entry {
    pub(super) delivery: Delivery,
    pub(super) item: Item,
}

impl Entry {
    pub(super) fn message_id(&self) -> &str {
        &self.delivery.message.id
    }
}

/// How large and how old a batch may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) entries_max: usize,
    pub(super) bytes_max: usize,
    pub(super) age_max: Duration,
    /// A queue that has nothing more for this long is idle: the batch waits no longer.
    pub(super) idle: Duration,
}

/// Entries on their way into one POST.
pub(super) struct Batch {
    limits: Limits,
    entries: Vec<Entry>,
    bytes: usize,
    opened: Instant,
    last: Instant,
}

impl Batch {
    /// A batch opened by its first entry.
    pub(super) fn new(limits: Limits, now: Instant, first: Entry) -> Self {
        let bytes = first.delivery.message.body.len();
        Self { limits, entries: vec![first], bytes, opened: now, last: now }
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// The entry itself if the batch has no room for its bytes: it opens the next batch.
    pub(super) fn push(&mut self, now: Instant, entry: Entry) -> Result<(), Box<Entry>> {
        let bytes = self.bytes.saturating_add(entry.delivery.message.body.len());
        if self.is_full() || bytes > self.limits.bytes_max {
            return Err(Box::new(entry));
        }
        self.bytes = bytes;
        self.last = now;
        self.entries.push(entry);
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= self.limits.entries_max || self.bytes >= self.limits.bytes_max
    }

    /// When the batch leaves, full or not.
    pub(super) fn deadline(&self) -> Instant {
        (self.opened + self.limits.age_max).min(self.last + self.limits.idle)
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

/// The body of the POST for `entries`.
pub(super) fn request(entries: &[Entry]) -> ItemsRequest {
    let items = entries
        .iter()
        .map(|entry| Incoming { message_id: entry.message_id().to_owned(), item: entry.item.clone() })
        .collect();
    ItemsRequest { items }
}

#[cfg(test)]
mod tests {
    use super::{super::testing, *};

    const LIMITS: Limits = Limits {
        entries_max: 3,
        bytes_max: 10_000,
        age_max: Duration::from_millis(50),
        idle: Duration::from_millis(5),
    };

    #[test]
    fn is_bounded_by_count() {
        let now = Instant::now();
        let mut batch = Batch::new(LIMITS, now, testing::entry("1"));
        assert!(batch.push(now, testing::entry("2")).is_ok());
        assert!(!batch.is_full());
        assert!(batch.push(now, testing::entry("3")).is_ok());
        assert!(batch.is_full());
        assert_eq!(batch.push(now, testing::entry("4")).unwrap_err().message_id(), "4");
        assert_eq!(batch.into_entries().len(), 3);
    }

    #[test]
    fn is_bounded_by_bytes() {
        let now = Instant::now();
        let first = testing::entry("1");
        let bytes_max = first.delivery.message.body.len() + 1;
        let mut batch = Batch::new(Limits { bytes_max, ..LIMITS }, now, first);
        assert!(batch.push(now, testing::entry("2")).is_err());
    }

    #[test]
    fn leaves_when_the_queue_is_idle_or_the_batch_is_old() {
        let opened = Instant::now();
        let mut batch = Batch::new(LIMITS, opened, testing::entry("1"));
        assert_eq!(batch.deadline(), opened + LIMITS.idle);
        let later = opened + Duration::from_millis(48);
        assert!(batch.push(later, testing::entry("2")).is_ok());
        assert_eq!(batch.deadline(), opened + LIMITS.age_max);
    }
}
