//! The pump: messages from the queue into POSTs to the leader. A message is acknowledged only after a 2xx.

mod admit;
mod batch;
mod deliver;
mod settle;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use symphony_adapters::{
    broker::{Broker, Consumer},
    http::api::ItemsRequest,
};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

pub(super) use self::deliver::{Courier, Patience};
use self::{
    admit::admit,
    batch::{Batch, Entry, Limits},
    deliver::Delivered,
};
use super::dead_letters::DeadLetters;
use crate::{backoff::Backoff, config};

/// Bodies of the messages in one POST, in bytes: well within what the leader takes.
const BATCH_SIZE_MAX: usize = 1024 * 1024;
/// A queue that has nothing more for this share of the age of a batch is idle.
const IDLE_SHARE: u32 = 10;
/// Shortest and longest pause before the queue is read again after a leader that is ready took nothing. RabbitMQ counts
/// deliveries, and has a limit of its own: with the longest pause it is reached after more than half a day.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));

/// Moves messages from the queue to the leader until told to stop.
pub(super) struct Pump {
    broker: Arc<dyn Broker>,
    prefetch: u16,
    limits: Limits,
    courier: Courier,
    dead_letters: DeadLetters,
    /// Read from the queue, and too large for the batch before.
    held: Option<Entry>,
}

/// Why reading the queue ended.
enum End {
    Stopped,
    NobodyTakes,
}

impl Pump {
    pub(super) fn new(
        broker: Arc<dyn Broker>,
        settings: &config::Manager,
        courier: Courier,
        dead_letters: DeadLetters,
    ) -> Self {
        let limits = Limits {
            entries_max: settings.batch_max.clamp(1, ItemsRequest::ENTRIES_MAX),
            size_max: BATCH_SIZE_MAX,
            age_max: settings.batch_age_max,
            idle: settings.batch_age_max / IDLE_SHARE,
        };
        Self { broker, prefetch: settings.prefetch.max(1), limits, courier, dead_letters, held: None }
    }

    /// Runs until `shutdown`; then finishes the POST in flight and gives back what is not settled.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let mut pause = Backoff::new(PAUSE.0, PAUSE.1);
        loop {
            // Without a leader that can store them the messages are better off in the queue: each time that they are given
            // back counts as a delivery.
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.courier.leader_ready() => {}
            }
            let consumer = tokio::select! {
                () = shutdown.cancelled() => return,
                consumer = self.broker.consume(self.prefetch) => consumer,
            };
            match consumer {
                Ok(mut consumer) => match self.read(&mut *consumer, &mut pause, &shutdown).await {
                    End::Stopped => return,
                    End::NobodyTakes => {}
                },
                Err(error) => tracing::error!(%error, "cannot read the queue"),
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(pause.next_wait()) => {}
            }
        }
    }

    async fn read(&mut self, consumer: &mut dyn Consumer, pause: &mut Backoff, shutdown: &CancellationToken) -> End {
        while let Some(batch) = self.fill(consumer, shutdown).await {
            match self.courier.deliver(batch.into_entries(), shutdown).await {
                Delivered::All => pause.reset(),
                Delivered::Stopped => break,
                Delivered::Nothing => {
                    self.give_back_held().await;
                    return End::NobodyTakes;
                }
            }
        }
        self.give_back_held().await;
        End::Stopped
    }

    /// The next batch; none when stopped.
    async fn fill(&mut self, consumer: &mut dyn Consumer, shutdown: &CancellationToken) -> Option<Batch> {
        let first = match self.held.take() {
            Some(held) => held,
            None => self.next_entry(consumer, shutdown).await?,
        };
        let mut batch = Batch::new(self.limits, Instant::now(), first);
        while !batch.is_over(Instant::now()) {
            let delivery = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                delivery = consumer.next() => delivery,
                () = sleep_until(batch.deadline()) => break,
            };
            let Some(entry) = admit(delivery, &self.dead_letters).await else { continue };
            if let Err(entry) = batch.push(Instant::now(), entry) {
                self.held = Some(*entry);
                break;
            }
        }
        Some(batch)
    }

    async fn next_entry(&self, consumer: &mut dyn Consumer, shutdown: &CancellationToken) -> Option<Entry> {
        loop {
            let delivery = tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                delivery = consumer.next() => delivery,
            };
            if let Some(entry) = admit(delivery, &self.dead_letters).await {
                return Some(entry);
            }
        }
    }

    async fn give_back_held(&mut self) {
        if let Some(held) = self.held.take() {
            settle::requeue(held.delivery).await;
        }
    }
}
