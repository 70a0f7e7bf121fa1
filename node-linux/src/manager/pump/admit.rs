//! What may enter a batch: messages that are items of a bearable size. The rest goes to the dead-letter queue.

use symphony_adapters::{broker::Delivery, item::Item};

use super::{batch::Entry, settle};
use crate::manager::dead_letters::DeadLetters;

/// Largest body of a message, in bytes.
const MESSAGE_SIZE_MAX: usize = 256 * 1024;
/// Longest id of a message, in bytes.
const MESSAGE_ID_SIZE_MAX: usize = 256;

/// The delivery as an entry of a batch; none if it was rejected.
pub(super) async fn admit(delivery: Delivery, dead_letters: &DeadLetters) -> Option<Entry> {
    match read(&delivery) {
        Ok(item) => Some(Entry { delivery, item }),
        Err(reason) => {
            settle::reject(delivery, &reason, dead_letters).await;
            None
        }
    }
}

fn read(delivery: &Delivery) -> Result<Item, String> {
    let message = &delivery.message;
    if message.id.is_empty() {
        return Err("the message has no id".into());
    }
    if message.id.len() > MESSAGE_ID_SIZE_MAX {
        return Err(format!("the id has {} bytes, more than {MESSAGE_ID_SIZE_MAX}", message.id.len()));
    }
    if message.body.len() > MESSAGE_SIZE_MAX {
        return Err(format!("the body has {} bytes, more than {MESSAGE_SIZE_MAX}", message.body.len()));
    }
    Item::from_message(&message.content_type, &message.body)
}
