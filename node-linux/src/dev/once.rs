//! `--once`: until one full pass is through.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde::Serialize;
use symphony_adapters::{
    database::{Counts, DatabaseError},
    driver::Status,
};

use super::Pipeline;
use crate::{cli::DevOptions, roles::RunError};

/// Time for a full pass.
const PASS_MAX: Duration = Duration::from_secs(300);

/// Time between looks at what has arrived.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// One full pass, in figures.
#[derive(Debug, Serialize)]
struct Pass {
    leader: u16,
    term: u64,
    items_scraped: u64,
    items_stored: u64,
    files_delivered: u64,
    mails: u64,
    elapsed_ms: u128,
    peak_rss_mb: u64,
}

/// Returns when the site is scraped, every item stored, the file delivered and the mail written; never without `--once`.
pub(super) async fn pass(pipeline: &Pipeline, started: Instant, options: &DevOptions) -> Result<(), RunError> {
    if !options.once {
        return std::future::pending().await;
    }
    let (leader, counts) = loop {
        let counts = pipeline.database.counts().await;
        let leader = pipeline.nodes.leader();
        let missing = missing(pipeline, leader.as_ref(), &counts);
        if missing.is_empty()
            && let (Some(leader), Ok(counts)) = (leader, counts)
        {
            break (leader, counts);
        }
        if started.elapsed() > PASS_MAX {
            return Err(RunError::Incomplete { seconds: PASS_MAX.as_secs(), missing: missing.join(", ") });
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    };
    print(&figures(pipeline, &leader, &counts, started), options.json);
    Ok(())
}

/// What has not arrived yet, in words.
fn missing(pipeline: &Pipeline, leader: Option<&Status>, counts: &Result<Counts, DatabaseError>) -> Vec<String> {
    let mut missing = Vec::new();
    let progress = pipeline.progress.borrow();
    if leader.is_none() {
        missing.push("a leader".to_owned());
    }
    if progress.runs_finished == 0 {
        missing.push("the end of the first scrape".to_owned());
    }
    let counts = match counts {
        Ok(counts) => counts,
        Err(error) => {
            missing.push(format!("the database's answer ({error})"));
            return missing;
        }
    };
    let scraped = progress.totals.items_seen;
    if counts.items < scraped || scraped == 0 {
        missing.push(format!("{} of {scraped} items", scraped.saturating_sub(counts.items)));
    }
    let uploaded = progress.totals.files_uploaded.max(1);
    if counts.files < uploaded {
        missing.push(format!("{} of {uploaded} files", uploaded - counts.files));
    }
    if counts.mails_sent == 0 || counts.mails_waiting > 0 {
        missing.push(format!("{} mails", counts.mails_waiting.max(1)));
    }
    missing
}

fn figures(pipeline: &Pipeline, leader: &Status, counts: &Counts, started: Instant) -> Pass {
    Pass {
        leader: leader.id.0,
        term: leader.term,
        items_scraped: pipeline.progress.borrow().totals.items_seen,
        items_stored: counts.items,
        files_delivered: counts.files,
        mails: counts.mails_sent,
        elapsed_ms: started.elapsed().as_millis(),
        peak_rss_mb: peak_rss_mb().unwrap_or(0),
    }
}

/// The result is what was asked for, so it goes to standard output.
#[expect(clippy::print_stdout, reason = "the command's result")]
fn print(pass: &Pass, json: bool) {
    match serde_json::to_string(pass) {
        Ok(text) if json => println!("{text}"),
        _ => println!(
            "\none full pass in {:.1} s: {} items scraped, {} stored, {} files delivered, {} mails; leader {}, term {}, \
             {} MB at most",
            f64::from(u32::try_from(pass.elapsed_ms).unwrap_or(u32::MAX)) / 1000.0,
            pass.items_scraped,
            pass.items_stored,
            pass.files_delivered,
            pass.mails,
            pass.leader,
            pass.term,
            pass.peak_rss_mb,
        ),
    }
}

/// Largest resident set of this process so far, MB.
fn peak_rss_mb() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes / 1024)
}
