//! Settling deliveries. A settlement that fails is no loss: the message comes again and is recognised.

use std::{future::Future, time::Duration};

use metrics::counter;
use symphony_adapters::broker::{BrokerError, Delivery};
use tokio::time::timeout;

use crate::manager::dead_letters::DeadLetters;

/// Time for the broker to take a settlement: more than the link and the confirm of a dead letter's copy may take, which
/// would otherwise be made again with the next delivery.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(45);

/// The message is stored.
pub(super) async fn ack(delivery: Delivery) {
    let id = delivery.message.id.clone();
    finish("acked", &id, delivery.ack()).await;
}

/// The message is for later.
pub(super) async fn requeue(delivery: Delivery) {
    let id = delivery.message.id.clone();
    finish("requeued", &id, delivery.requeue()).await;
}

/// The message will never be stored: to the dead-letter queue, and a mail about it.
pub(super) async fn reject(delivery: Delivery, reason: &str, dead_letters: &DeadLetters) {
    let id = delivery.message.id.clone();
    tracing::warn!(message_id = id, reason, "dead letter");
    if finish("rejected", &id, delivery.reject(reason)).await {
        dead_letters.announce(&id, reason);
    }
}

async fn finish(outcome: &'static str, id: &str, settlement: impl Future<Output = Result<(), BrokerError>>) -> bool {
    let error = match timeout(SETTLE_TIMEOUT, settlement).await {
        Ok(Ok(())) => {
            counter!("symphony_manager_messages_total", "outcome" => outcome).increment(1);
            return true;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!(message_id = id, outcome, error, "not settled: the message will come again");
    false
}
