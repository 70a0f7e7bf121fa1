//! How many items a second go from the queue to committed rows, beside what the queue and the database could do alone;
//! how long one takes; what a long queue costs the manager, and a long table its readers.
//!
//! RabbitMQ and PostgreSQL are real, manager and web node are processes of their own, and everything shares this machine.

mod bare;
mod memory;
mod pages;
mod report;
mod stage;

use std::time::{Duration, Instant};

pub use report::Report;

use stage::Stage;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A program that plays every role.
    pub program: String,
    /// Items of one measurement of a rate.
    pub items: usize,
    /// Times that the three rates are measured, in turns; the medians count.
    pub rounds: usize,
    /// Time of the measurement of latencies.
    pub latency_time: Duration,
    /// Messages in the long queue, and rows of the long table.
    pub large: usize,
}

/// Items of the short queue, and rows of the short table.
const SMALL: (usize, usize) = (10_000, 1_000);

/// Measures everything.
///
/// # Panics
/// If the servers or the roles do not start, or items do not arrive.
pub async fn measure(settings: &Settings) -> Report {
    let mut stage = Stage::start(&settings.program).await;
    let (mut broker, mut database, mut pipeline) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..settings.rounds.max(1) {
        stage.stop_manager();
        broker.push(rate(settings.items, bare::through_the_queue(&stage, settings.items)).await);
        stage.empty().await;
        database.push(rate(settings.items, bare::into_the_table(&stage, settings.items)).await);
        stage.empty().await;
        stage.start_manager().await;
        pipeline.push(rate(settings.items, through_the_pipeline(&stage, settings.items)).await);
        stage.empty().await;
    }
    let [broker, database, pipeline] = [broker, database, pipeline].map(median);
    let interval = Duration::from_secs_f64(10.0 / pipeline);
    let latencies = latencies(&stage, interval, settings.latency_time).await;
    stage.empty().await;
    stage.stop_manager();
    let memory = [
        memory::with_messages_waiting(&mut stage, SMALL.0).await,
        memory::with_messages_waiting(&mut stage, settings.large).await,
    ];
    stage.empty().await;
    let pages = [pages::with_rows(&stage, SMALL.1).await, pages::with_rows(&stage, settings.large).await];
    let report = Report::new([broker, database, pipeline], &latencies, (SMALL, settings.large), memory, &pages);
    stage.stop();
    report
}

async fn rate(items: usize, work: impl Future<Output = ()>) -> f64 {
    let begun = Instant::now();
    work.await;
    items as f64 / begun.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// From the first publication to the last committed row.
async fn through_the_pipeline(stage: &Stage, items: usize) {
    stage.publish(items).await;
    stage.stored(items).await;
}

/// Milliseconds from publication to commit of items that come at a steady rate, in ascending order.
async fn latencies(stage: &Stage, interval: Duration, time: Duration) -> Vec<f64> {
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < time {
        stage.publish_in_the_background(count);
        count += 1;
        tokio::time::sleep((interval * count as u32).saturating_sub(begun.elapsed())).await;
    }
    stage.stored(count).await;
    stage.latencies().await
}
