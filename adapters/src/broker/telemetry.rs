//! Counters that both brokers keep.

use metrics::counter;

/// The broker had it on stable storage.
pub(super) fn published(broker: &'static str) {
    counter!("symphony_broker_published_total", "broker" => broker).increment(1);
}

/// Handed to a consumer, the first time or again.
pub(super) fn delivered(broker: &'static str) {
    counter!("symphony_broker_delivered_total", "broker" => broker).increment(1);
}

/// Moved to the dead-letter queue.
pub(super) fn rejected(broker: &'static str) {
    counter!("symphony_broker_rejected_total", "broker" => broker).increment(1);
}

/// A connection was made after one had been lost.
pub(super) fn reconnected(broker: &'static str) {
    counter!("symphony_broker_reconnects_total", "broker" => broker).increment(1);
}
