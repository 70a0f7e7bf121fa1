//! A broker in memory that writes down what happens to each message.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use symphony_adapters::{
    broker::{Broker, BrokerError, Consumer, DeadLetter, Delivery, Depth, Message, Settle},
    item::Item,
};
use tokio::sync::Notify;

/// Remembers everything. Clones are one broker.
#[derive(Clone, Default)]
pub(in crate::manager) struct RecordingBroker(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    ready: VecDeque<(Message, u64)>,
    in_hand: usize,
    acked: Vec<String>,
    rejected: BTreeMap<String, String>,
    dead: Vec<DeadLetter>,
    requeued: Vec<String>,
}

impl RecordingBroker {
    pub(in crate::manager) fn put(&self, message: Message) {
        self.put_redelivered(message, 0);
    }

    pub(in crate::manager) fn put_redelivered(&self, message: Message, redeliveries: u64) {
        self.with(|state| state.ready.push_back((message, redeliveries)));
        self.0.arrived.notify_one();
    }

    /// Takes what is ready, as another consumer would.
    pub(in crate::manager) fn take_all(&self) {
        self.with(|state| state.ready.clear());
    }

    pub(in crate::manager) fn acked(&self) -> Vec<String> {
        self.with(|state| state.acked.clone())
    }

    pub(in crate::manager) fn requeued(&self) -> Vec<String> {
        self.with(|state| state.requeued.clone())
    }

    /// Reasons by message id.
    pub(in crate::manager) fn rejected(&self) -> BTreeMap<String, String> {
        self.with(|state| state.rejected.clone())
    }

    /// Messages ready, and messages delivered but not settled.
    pub(in crate::manager) fn at_rest_and_in_hand(&self) -> (usize, usize) {
        self.with(|state| (state.ready.len(), state.in_hand))
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Broker for RecordingBroker {
    async fn publish(&self, message: &Message) -> Result<(), BrokerError> {
        self.put(message.clone());
        Ok(())
    }

    async fn consume(&self, _prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        Ok(Box::new(RecordingConsumer(self.clone())))
    }

    async fn depth(&self) -> Result<Depth, BrokerError> {
        Ok(self.with(|state| Depth { ready: state.ready.len() as u64, dead: state.dead.len() as u64 }))
    }

    async fn dead_letters(&self, id: Option<&str>, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        let is_meant = |letter: &&DeadLetter| id.is_none_or(|id| id == letter.message.id);
        Ok(self.with(|state| state.dead.iter().filter(is_meant).take(limit).cloned().collect()))
    }

    async fn bury(&self, _: &Message, _: &str) -> Result<(), BrokerError> {
        Err(BrokerError::Configuration("the manager buries deliveries".to_owned()))
    }

    async fn replay(&self, id: Option<&str>) -> Result<u64, BrokerError> {
        let is_meant = |letter: &mut DeadLetter| id.is_none_or(|id| id == letter.message.id);
        let replayed: Vec<_> = self.with(|state| state.dead.extract_if(.., is_meant).collect());
        let count = replayed.len() as u64;
        replayed.into_iter().for_each(|letter| self.put(letter.message));
        Ok(count)
    }

    fn health(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn close(&self) {}
}

struct RecordingConsumer(RecordingBroker);

#[async_trait]
impl Consumer for RecordingConsumer {
    async fn next(&mut self) -> Delivery {
        loop {
            let taken = self.0.with(|state| {
                let taken = state.ready.pop_front();
                state.in_hand += usize::from(taken.is_some());
                taken
            });
            if let Some((message, redeliveries)) = taken {
                let settle =
                    Recorder { broker: self.0.clone(), message: message.clone(), redeliveries, settled: false };
                return Delivery::new(message, redeliveries, Box::new(settle));
            }
            self.0.0.arrived.notified().await;
        }
    }
}

/// Settles once; dropped unsettled, the message is ready again.
struct Recorder {
    broker: RecordingBroker,
    message: Message,
    redeliveries: u64,
    settled: bool,
}

impl Recorder {
    fn settle(&mut self, record: impl FnOnce(&mut State, String)) {
        self.settled = true;
        self.broker.with(|state| {
            state.in_hand -= 1;
            record(state, self.message.id.clone());
        });
    }
}

#[async_trait]
impl Settle for Recorder {
    async fn ack(mut self: Box<Self>) -> Result<(), BrokerError> {
        self.settle(|state, id| state.acked.push(id));
        Ok(())
    }

    async fn requeue(mut self: Box<Self>) -> Result<(), BrokerError> {
        self.settle(|state, id| state.requeued.push(id));
        self.broker.put_redelivered(self.message.clone(), self.redeliveries + 1);
        Ok(())
    }

    async fn reject(mut self: Box<Self>, message: &Message, reason: &str) -> Result<(), BrokerError> {
        let letter = DeadLetter { message: message.clone(), reason: reason.to_owned(), rejected_at_ms: None };
        self.settle(|state, id| {
            state.rejected.insert(id, reason.to_owned());
            state.dead.push(letter);
        });
        Ok(())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if !self.settled {
            self.settle(|_, _| {});
            self.broker.put_redelivered(self.message.clone(), self.redeliveries + 1);
        }
    }
}

/// A message with an item in it.
pub(in crate::manager) fn message(id: &str) -> Message {
    let item = Item {
        id: id.to_owned(),
        site: "site".to_owned(),
        url: format!("http://site/{id}"),
        title: format!("Item {id}"),
        fields: BTreeMap::new(),
        scraped_at_ms: 1,
    };
    raw_message(id, item.to_message().unwrap())
}

/// A message with any body that claims to be an item.
pub(in crate::manager) fn raw_message(id: &str, body: impl Into<Bytes>) -> Message {
    Message { id: id.to_owned(), content_type: Item::CONTENT_TYPE.to_owned(), body: body.into() }
}

/// A delivery outside of any queue.
pub(in crate::manager) fn delivery(message: Message) -> Delivery {
    let broker = RecordingBroker::default();
    broker.with(|state| state.in_hand += 1);
    let settle = Recorder { broker, message: message.clone(), redeliveries: 0, settled: false };
    Delivery::new(message, 0, Box::new(settle))
}
