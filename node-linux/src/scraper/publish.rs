//! Handing items to the broker, for ever if need be; what no queue takes is a dead letter, and keeps no other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use symphony_adapters::{
    broker::{Broker, BrokerError, Message},
    item::Item,
};
use tokio::{io, sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    backoff::Backoff,
    journal::{Journal, Publication, Sent},
    progress::Meter,
};

/// Publications on their way from the crawl to the broker; when they pile up, the crawl waits.
pub(super) const QUEUE_MAX: usize = 64;

/// The broker confirms within this time or is asked again.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_LONGEST: Duration = Duration::from_secs(15);
/// After a shutdown the broker has this long to confirm what is under way; the rest is sent at the next start.
const GRACE: Duration = Duration::from_secs(3);

/// Hands publications to the broker.
pub(super) struct Publisher<'a> {
    pub(super) broker: &'a Arc<dyn Broker>,
    pub(super) meter: &'a Meter,
    pub(super) shutdown: &'a CancellationToken,
    /// Whether the last attempt failed: a change is logged, not each of many messages.
    pub(super) away: AtomicBool,
}

impl Publisher<'_> {
    /// Publishes all that comes, batch by batch; each batch is in the journal before the broker hears of it. Returns
    /// what the broker confirmed or will never take, once the queue is closed and empty or the shutdown's grace is over.
    ///
    /// # Errors
    /// Those of the journal.
    pub(super) async fn drain(
        &self,
        journal: &mut Journal,
        mut queue: mpsc::Receiver<Publication>,
    ) -> io::Result<Vec<Sent>> {
        let mut confirmed = Vec::new();
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, QUEUE_MAX).await > 0 {
            journal.sending(&batch).await?;
            let whole = self.publish(journal, &batch, &mut confirmed).await?;
            batch.clear();
            if !whole {
                break;
            }
        }
        Ok(confirmed)
    }

    /// Publishes a batch that is in the journal. `false` if the shutdown came first.
    ///
    /// # Errors
    /// Those of the journal.
    pub(super) async fn publish(
        &self,
        journal: &mut Journal,
        batch: &[Publication],
        confirmed: &mut Vec<Sent>,
    ) -> io::Result<bool> {
        let mut sending: FuturesUnordered<_> =
            batch.iter().map(|publication| self.until_settled(publication)).collect();
        let grace = async {
            self.shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::pin!(grace);
        loop {
            tokio::select! {
                sent = sending.next() => match sent {
                    Some(sent) => {
                        journal.sent(&sent).await?;
                        if sent.is_confirmed() {
                            self.meter.published();
                        } else {
                            self.meter.refused();
                        }
                        confirmed.push(sent);
                    }
                    None => return Ok(true),
                },
                () = &mut grace => {
                    tracing::info!(waiting = sending.len(), "unconfirmed items are sent at the next start");
                    return Ok(false);
                }
            }
        }
    }

    async fn until_settled(&self, publication: &Publication) -> Sent {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_LONGEST);
        let message = Message {
            id: publication.message_id.clone(),
            content_type: Item::CONTENT_TYPE.to_owned(),
            body: Bytes::from(publication.item.to_message().unwrap_or_default()),
        };
        loop {
            let reason = match timeout(CONFIRM_TIMEOUT, self.publish_or_bury(&message)).await {
                Ok(Ok(fault)) => {
                    if self.away.swap(false, Ordering::Relaxed) {
                        tracing::info!("the broker takes messages again");
                    }
                    let Some(fault) = fault else { return Sent::of(publication) };
                    let Item { id, url, .. } = &publication.item;
                    tracing::error!(item = id, url, fault, "this item is a dead letter: no queue takes it");
                    return Sent::refused(publication, fault);
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no confirmation in time".to_owned(),
            };
            let delay = backoff.next();
            self.meter.publish_failed();
            if !self.away.swap(true, Ordering::Relaxed) {
                tracing::warn!(reason, "the broker takes no messages: trying until it does");
            }
            tracing::debug!(message_id = message.id, reason, ?delay, "not published yet");
            tokio::time::sleep(delay).await;
        }
    }

    /// Why it is a dead letter, if the queue does not carry it.
    async fn publish_or_bury(&self, message: &Message) -> Result<Option<String>, BrokerError> {
        match self.broker.publish(message).await {
            Ok(()) => Ok(None),
            Err(BrokerError::Unfit(fault)) => {
                self.broker.bury(message, &fault).await?;
                Ok(Some(fault))
            }
            Err(error) => Err(error),
        }
    }
}
