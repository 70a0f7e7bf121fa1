//! Competing consumers of the table.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::NAME;
use super::store::{Claim, Holder, Store};
use crate::broker::{BrokerError, Consumer, Delivery, Message, Settle, telemetry};

/// Between two looks at the table when nothing wakes the consumer, and after a failure.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// Rows claimed by one statement at most: each statement waits for the disk once.
const CLAIM_MAX: usize = 64;

/// See [`crate::broker::Broker::consume`]. A task claims the rows; this end only receives, so that a cancelled
/// [`Consumer::next`] loses nothing.
pub(super) struct EmbeddedConsumer {
    deliveries: mpsc::Receiver<Delivery>,
}

impl EmbeddedConsumer {
    pub(super) fn spawn(
        store: Arc<Store>,
        queue: Arc<str>,
        holder: Holder,
        prefetch: u16,
        closed: CancellationToken,
    ) -> Self {
        let (sender, deliveries) = mpsc::channel(1);
        let room = Arc::new(Semaphore::new(prefetch.into()));
        tokio::spawn(Pump { store, queue, holder, room, closed, deliveries: sender }.run());
        Self { deliveries }
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn next(&mut self) -> Delivery {
        match self.deliveries.recv().await {
            Some(delivery) => {
                telemetry::delivered(NAME);
                delivery
            }
            None => std::future::pending().await,
        }
    }
}

/// The task behind an [`EmbeddedConsumer`]; ends when that is dropped or its broker closed.
struct Pump {
    store: Arc<Store>,
    queue: Arc<str>,
    holder: Holder,
    /// The prefetch: a permit for each unsettled delivery.
    room: Arc<Semaphore>,
    closed: CancellationToken,
    deliveries: mpsc::Sender<Delivery>,
}

impl Pump {
    async fn run(self) {
        loop {
            let mut permits = tokio::select! {
                () = self.ended() => return,
                permit = self.room.clone().acquire_owned() => match permit {
                    Ok(permit) => permit,
                    Err(_) => return,
                },
            };
            while permits.num_permits() < CLAIM_MAX
                && let Ok(more) = self.room.clone().try_acquire_owned()
            {
                permits.merge(more);
            }
            // Registered before the look, so that a message published after it is not missed.
            let ready = self.store.ready.notified();
            let rows = match self.store.claim(&self.queue, self.holder, permits.num_permits()).await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::warn!(%error, "cannot read the queue");
                    Vec::new()
                }
            };
            if rows.is_empty() {
                drop(permits);
                tokio::select! {
                    () = self.ended() => return,
                    _ = timeout(POLL_EVERY, ready) => {}
                }
                continue;
            }
            let deliveries: Vec<Delivery> = rows
                .into_iter()
                .map(|row| {
                    let published_at_ms = row.published_at_ms;
                    let (message, redeliveries, claim) = row.into_parts(self.holder);
                    let store = self.store.clone();
                    let unsettled = Unsettled { store, claim: Some(claim), _room: permits.split(1) };
                    Delivery::new(message, redeliveries, Box::new(unsettled)).published_at(published_at_ms)
                })
                .collect();
            drop(permits);
            for delivery in deliveries {
                if self.closed.is_cancelled() || self.deliveries.send(delivery).await.is_err() {
                    // The rest goes back to the queue as it is dropped.
                    return;
                }
            }
        }
    }

    async fn ended(&self) {
        tokio::select! {
            () = self.deliveries.closed() => {}
            () = self.closed.cancelled() => {}
        }
    }
}

/// A delivery's hold on its row: dropped unsettled, it gives the row back.
struct Unsettled {
    store: Arc<Store>,
    claim: Option<Claim>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Unsettled {
    /// The claim while it lasts.
    fn claim(&self) -> Result<Claim, BrokerError> {
        self.claim.ok_or_else(|| BrokerError::Disconnected("already settled".into()))
    }
}

#[async_trait]
impl Settle for Unsettled {
    async fn ack(mut self: Box<Self>) -> Result<(), BrokerError> {
        self.store.remove(self.claim()?).await?;
        self.claim = None;
        Ok(())
    }

    async fn requeue(mut self: Box<Self>) -> Result<(), BrokerError> {
        self.store.release(self.claim()?).await?;
        self.claim = None;
        Ok(())
    }

    async fn reject(mut self: Box<Self>, _message: &Message, reason: &str) -> Result<(), BrokerError> {
        self.store.bury(self.claim()?, reason).await?;
        self.claim = None;
        telemetry::rejected(NAME);
        Ok(())
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        let Some(claim) = self.claim.take() else { return };
        // Without a runtime the process is ending: opening the queue releases the row.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(release(Arc::downgrade(&self.store), claim));
        }
    }
}

/// Tries until the row is released, or nobody uses the store any more.
async fn release(store: Weak<Store>, claim: Claim) {
    while let Some(store) = store.upgrade() {
        match store.release(claim).await {
            Ok(()) => return,
            // No fault of the store: the claim had already ended.
            Err(_) if store.health().is_ok() => return,
            Err(error) => tracing::warn!(%error, "cannot give a message back yet"),
        }
        drop(store);
        sleep(POLL_EVERY).await;
    }
}
