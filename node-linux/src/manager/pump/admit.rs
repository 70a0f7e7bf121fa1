//! What may enter a batch: messages that are items of a bearable size. The rest goes to the dead-letter queue: others than
//! we can publish, too.

use std::time::{SystemTime, UNIX_EPOCH};

use symphony_adapters::{
    broker::{Delivery, Message},
    item::Item,
};

use super::{batch::Entry, settle};
use crate::manager::dead_letters::DeadLetters;

/// Longest id of a message, in bytes.
const MESSAGE_ID_SIZE_MAX: usize = 256;

/// The delivery as an entry of a batch; none if it was rejected.
pub(super) async fn admit(delivery: Delivery, dead_letters: &DeadLetters) -> Option<Entry> {
    match read(&delivery) {
        Ok(item) => Some(Entry { delivery, item, delivered_at_ms: now_ms() }),
        Err(reason) => {
            settle::reject(delivery, &reason, dead_letters).await;
            None
        }
    }
}

/// Milliseconds since the Unix epoch.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn read(delivery: &Delivery) -> Result<Item, String> {
    let message = &delivery.message;
    if message.id.is_empty() {
        return Err("the message has no id".into());
    }
    if message.id.len() > MESSAGE_ID_SIZE_MAX {
        return Err(format!("the id has {} bytes, more than {MESSAGE_ID_SIZE_MAX}", message.id.len()));
    }
    if message.body.len() > Message::BODY_LEN_MAX {
        return Err(format!("the body has {} bytes, more than {}", message.body.len(), Message::BODY_LEN_MAX));
    }
    Item::from_message(&message.content_type, &message.body)
}
