//! For the person at the terminal: what runs where, then one line for each thing that happens.

#![expect(clippy::print_stdout, reason = "this is what the role says to the person who started it")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use symphony_adapters::database::Counts;
use time::{OffsetDateTime, macros::format_description};

use super::{Pipeline, plan::Plan};
use crate::roles::RunError;
use tokio_util::sync::CancellationToken;

/// Time between looks; what happens faster shares a line.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

pub(super) fn print_table(plan: &Plan) {
    let addresses = &plan.addresses;
    let row = |what: &str, whereabouts: String, why: &str| println!("  {what:<9} {whereabouts:<34} {why}");
    println!("symphony dev, data in {}\n", plan.data.display());
    row(
        "start",
        format!("http://{}/app/", addresses.manager),
        "the items, through the manager, wherever the leader is",
    );
    row("shop", format!("http://{}/", addresses.shop), "the site that is scraped");
    for (id, node) in &plan.nodes {
        let election = node.config.node.listen;
        row(&format!("web-{id}"), format!("http://{}/app/", node.address), &format!("elects on UDP {election}"));
    }
    row("ftp", format!("ftp://{}/", addresses.ftp), "processed data on their way");
    row("mail", plan.data.join("mail").display().to_string(), "one file a mail");
    row("token", plan.token_file.display().to_string(), "for POST: Authorization: Bearer …");
    row("control", format!("http://{}/v1/dev/nodes", addresses.control), "POST …/leader/stop, …/1/stop, …/1/start");
    println!("\nStop the leader, and watch another take over:");
    let token = plan.token_file.display();
    println!(
        "curl -X POST -H \"Authorization: Bearer $(cat {token})\" http://{}/v1/dev/nodes/leader/stop\n",
        addresses.control
    );
}

/// Prints what changes until `stop`.
pub(super) async fn print_events(pipeline: Arc<Pipeline>, stop: CancellationToken) -> Result<(), RunError> {
    let mut before = View::default();
    loop {
        let now = View::of(&pipeline, &before).await;
        for line in now.since(&before) {
            println!("{}  {line}", clock());
        }
        before = now;
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

/// What there is to see at one moment.
#[derive(Clone, Default)]
struct View {
    running: BTreeMap<u16, bool>,
    leader: Option<(u16, u64)>,
    runs_finished: u64,
    items_seen: u64,
    published: u64,
    /// Items seen and published by the runs that had ended before.
    of_ended_runs: (u64, u64),
    uploaded: u64,
    counts: Counts,
    waiting: u64,
    dead: u64,
}

impl View {
    async fn of(pipeline: &Pipeline, before: &Self) -> Self {
        let progress = pipeline.progress.borrow().clone();
        // A busy moment shows on the next look.
        let counts = pipeline.database.counts().await.unwrap_or(before.counts);
        let (waiting, dead) =
            pipeline.broker.depth().await.map_or((before.waiting, before.dead), |depth| (depth.ready, depth.dead));
        let running = pipeline.nodes.statuses().into_iter().map(|(id, status)| (id, status.is_some())).collect();
        Self {
            running,
            leader: pipeline.nodes.leader().map(|status| (status.id.0, status.term)),
            runs_finished: progress.runs_finished,
            items_seen: progress.totals.items_seen,
            published: progress.totals.items_published,
            of_ended_runs: match progress.runs_finished > before.runs_finished {
                true => (progress.totals.items_seen, progress.totals.items_published),
                false => before.of_ended_runs,
            },
            uploaded: progress.totals.files_uploaded,
            counts,
            waiting,
            dead,
        }
    }

    fn since(&self, before: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, running) in &self.running {
            if before.running.get(id).copied().unwrap_or(false) != *running {
                lines.push(format!("web-{id}    {}", if *running { "started" } else { "stopped" }));
            }
        }
        if self.leader != before.leader {
            lines.push(match self.leader {
                Some((id, term)) => format!("election node {id} leads, term {term}"),
                None => "election no leader".to_owned(),
            });
        }
        let published = self.published - before.published;
        if published > 0 {
            lines.push(format!("scraper  {published} items published, {} so far", self.published));
        }
        let stored = self.counts.items.saturating_sub(before.counts.items);
        if stored > 0 {
            lines.push(format!("database {stored} new items, {} in all, {} waiting", self.counts.items, self.waiting));
        }
        if self.runs_finished > before.runs_finished {
            let (seen, published) = before.of_ended_runs;
            let (seen, published) = (self.items_seen - seen, self.published - published);
            lines.push(format!(
                "scraper  run {} over: {seen} items seen, {published} new or changed",
                self.runs_finished
            ));
        }
        if self.uploaded > before.uploaded {
            lines.push(format!("ftp      {} files uploaded", self.uploaded - before.uploaded));
        }
        if self.counts.files > before.counts.files {
            lines.push(format!(
                "manager  {} files delivered, {} in all",
                self.counts.files - before.counts.files,
                self.counts.files
            ));
        }
        if self.counts.mails_sent > before.counts.mails_sent {
            lines.push(format!(
                "mail     {} sent, {} in all",
                self.counts.mails_sent - before.counts.mails_sent,
                self.counts.mails_sent
            ));
        }
        if self.dead > before.dead {
            lines.push(format!("queue    {} messages set aside as undeliverable", self.dead - before.dead));
        }
        lines
    }
}

fn clock() -> String {
    let format = format_description!("[hour]:[minute]:[second]");
    OffsetDateTime::now_utc().format(format).unwrap_or_default()
}
