//! A broker and a file server that remember, and fail when told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use symphony::scraper::{Upload, UploadError};
use symphony_adapters::{
    broker::{Broker, BrokerError, Consumer, DeadLetter, Depth, Message},
    item::Item,
};

/// Keeps what was published, in order.
#[derive(Default)]
pub(crate) struct Recorder {
    messages: Mutex<Vec<Message>>,
    /// Ids and reasons.
    pub(crate) buried: Mutex<Vec<(String, String)>>,
    /// Publications refused before the first is taken.
    pub(crate) refusals: AtomicU64,
    /// After so many messages (if not 0), every further one is taken and never confirmed.
    pub(crate) silent_after: AtomicU64,
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.messages.lock().unwrap().len()
    }

    /// What the inbox would keep: each message id once, and always with the same body.
    pub(crate) fn items(&self) -> Vec<Item> {
        let mut bodies = BTreeMap::new();
        let mut items = Vec::new();
        for message in self.messages() {
            let item = Item::from_message(&message.content_type, &message.body).unwrap();
            match bodies.insert(message.id.clone(), message.body.clone()) {
                None => items.push(item),
                Some(before) => assert_eq!(before, message.body, "one id, two bodies"),
            }
        }
        items
    }

    fn check_there(&self) -> Result<(), BrokerError> {
        let refuses =
            self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if refuses { Err(BrokerError::Disconnected("away".to_owned())) } else { Ok(()) }
    }

    pub(crate) fn titles(&self) -> BTreeSet<String> {
        self.items().into_iter().map(|item| item.title).collect()
    }
}

#[async_trait]
impl Broker for Recorder {
    async fn publish(&self, message: &Message) -> Result<(), BrokerError> {
        self.check_there()?;
        if message.body.len() > Message::BODY_LEN_MAX {
            return Err(BrokerError::Unfit(format!("{} bytes", message.body.len())));
        }
        let count = {
            let mut messages = self.messages.lock().unwrap();
            messages.push(message.clone());
            messages.len() as u64
        };
        let silent_after = self.silent_after.load(Ordering::SeqCst);
        if silent_after > 0 && count > silent_after {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn consume(&self, _: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        Err(BrokerError::Configuration("nobody consumes here".to_owned()))
    }

    async fn depth(&self) -> Result<Depth, BrokerError> {
        Ok(Depth::default())
    }

    async fn dead_letters(&self, _: Option<&str>, _: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        Ok(Vec::new())
    }

    async fn bury(&self, message: &Message, reason: &str) -> Result<(), BrokerError> {
        self.check_there()?;
        self.buried.lock().unwrap().push((message.id.clone(), reason.to_owned()));
        Ok(())
    }

    async fn replay(&self, _: Option<&str>) -> Result<u64, BrokerError> {
        Ok(0)
    }

    fn health(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn close(&self) {}
}

/// Keeps what was uploaded.
#[derive(Default)]
pub(crate) struct Folder {
    pub(crate) files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Uploads refused before the first is taken.
    pub(crate) refusals: AtomicU64,
}

impl Folder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }

    /// The JSON documents, oldest first.
    pub(crate) fn documents(&self) -> Vec<serde_json::Value> {
        let files = self.files.lock().unwrap();
        let documents = files.iter().filter(|(name, _)| name.ends_with(".json"));
        documents.map(|(_, content)| serde_json::from_slice(content).unwrap()).collect()
    }
}

#[async_trait]
impl Upload for Folder {
    async fn upload(&self, name: &str, content: Vec<u8>) -> Result<(), UploadError> {
        if self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(UploadError("full".to_owned()));
        }
        self.files.lock().unwrap().insert(name.to_owned(), content);
        Ok(())
    }
}
