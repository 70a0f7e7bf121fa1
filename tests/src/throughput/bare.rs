//! What the queue and the database do alone, with the same messages and the same rows.

#![allow(clippy::expect_used, reason = "a failed step ends the run")]

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use lapin::{
    BasicProperties,
    options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions},
    types::FieldTable,
};
use sqlx::Connection as _;

use super::stage::{Stage, TAKE_TOKEN, message};
use crate::database::item;

/// Publications not yet confirmed, and deliveries not yet acknowledged: as the manager's prefetch.
const WINDOW: u16 = 200;

/// Rows in one transaction: as the manager's batch.
const BATCH: usize = 100;

const PERSISTENT: u8 = 2;

/// Publishes, confirmed, without waiting for each; consumes and acknowledges at the same time.
pub(super) async fn through_the_queue(stage: &Stage, items: usize) {
    let consume = async {
        let (connection, channel) = stage.channel().await;
        channel.basic_qos(WINDOW, BasicQosOptions::default()).await.expect("a prefetch");
        let mut consumer = channel
            .basic_consume(Stage::queue().into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .expect("a consumer");
        for _ in 0..items {
            let delivery = consumer.next().await.expect("a delivery").expect("a delivery");
            delivery.ack(BasicAckOptions::default()).await.expect("an acknowledgement");
        }
        connection.close(200, "done".into()).await.expect("a goodbye");
    };
    tokio::join!(publish(stage, items), consume);
}

/// Publishes, confirmed, without waiting for each.
pub(super) async fn publish(stage: &Stage, items: usize) {
    let (connection, channel) = stage.channel().await;
    let mut confirms = VecDeque::new();
    for number in 0..items {
        let message = message(number);
        let properties = BasicProperties::default()
            .with_message_id(message.id.into())
            .with_content_type(message.content_type.into())
            .with_delivery_mode(PERSISTENT);
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let confirm = channel.basic_publish("".into(), Stage::queue().into(), options, &message.body, properties);
        confirms.push_back(confirm.await.expect("a publication"));
        if confirms.len() >= usize::from(WINDOW)
            && let Some(confirm) = confirms.pop_front()
        {
            confirm.await.expect("a confirm");
        }
    }
    for confirm in confirms {
        confirm.await.expect("a confirm");
    }
    connection.close(200, "done".into()).await.expect("a goodbye");
}

/// Inserts rows into the table of items, a batch in each transaction, and nothing else.
pub(super) async fn into_the_table(stage: &Stage, items: usize) {
    let mut session = stage.session().await;
    for first in (0..items).step_by(BATCH) {
        let mut columns: [Vec<String>; 6] = Default::default();
        for item in (first..items.min(first + BATCH)).map(item) {
            let search_text = format!("{} {} {:?}", item.title, item.url, item.fields).to_lowercase();
            let fields = serde_json::to_string(&item.fields).expect("JSON");
            for (column, value) in
                columns.iter_mut().zip([item.id, item.site, item.url, item.title, fields, search_text])
            {
                column.push(value);
            }
        }
        let [id, site, url, title, fields, search_text] = columns;
        let mut transaction = session.begin().await.expect("a transaction");
        sqlx::query(TAKE_TOKEN).execute(&mut *transaction).await.expect("the token");
        sqlx::query(
            "INSERT INTO items (id, site, url, title, fields, search_text, scraped_at_ms, first_stored_at_ms, \
             stored_at_ms, term, revision) SELECT id, site, url, title, fields::JSONB, search_text, 1000, 1000, 1000, 1, 1 \
             FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[]) \
             AS rows (id, site, url, title, fields, search_text)",
        )
        .bind(id)
        .bind(site)
        .bind(url)
        .bind(title)
        .bind(fields)
        .bind(search_text)
        .execute(&mut *transaction)
        .await
        .expect("rows");
        transaction.commit().await.expect("a commit");
    }
}
