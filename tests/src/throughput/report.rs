//! The figures, and what they should be.

use std::{collections::BTreeMap, ops::RangeInclusive};

use serde::Serialize;

use super::pages::Pages;

/// The pipeline's part of what the slower of queue and database does alone, at the least.
const SHARE_MIN: f64 = 0.7;

/// The manager's memory with the long queue over that with the short one.
const MEMORY_RATIO: RangeInclusive<f64> = 0.9..=1.1;

/// A page of the long table takes at most so many times as long as one of the short table …
const PAGE_RATIO_MAX: f64 = 3.0;

/// … and so many milliseconds more: a page that takes two of them must not become four by the noise of a machine. A search
/// that no index serves looks at ten thousand items for a page, whereas the short table has a thousand.
const PAGE_MORE_MS_MAX: f64 = 25.0;

/// Rates in items a second, times in milliseconds, memory in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Publish, confirm, consume, acknowledge: the queue alone.
    pub broker_rate: f64,
    /// Batched inserts: the table alone.
    pub database_rate: f64,
    /// From publication to committed row, through manager and web node.
    pub pipeline_rate: f64,
    /// Pipeline over the slower of the two.
    pub share: f64,
    /// Publication to commit, at a tenth of the rate: the median.
    pub latency_p50_ms: f64,
    /// The 99th percentile.
    pub latency_p99_ms: f64,
    /// Messages in the short and in the long queue.
    pub messages: [usize; 2],
    /// Most memory of the manager with each.
    pub memory: [u64; 2],
    /// With the long queue over with the short one.
    pub memory_ratio: f64,
    /// Rows of the short and of the long table.
    pub rows: [usize; 2],
    /// Pages of each, by what was asked for.
    pub pages_ms: BTreeMap<&'static str, [f64; 2]>,
    /// Targets that were missed, in words.
    pub missed: Vec<String>,
}

impl Report {
    pub(super) fn new(
        [broker_rate, database_rate, pipeline_rate]: [f64; 3],
        latencies: &[f64],
        (small, large): ((usize, usize), usize),
        memory: [u64; 2],
        [short, long]: &[Pages; 2],
    ) -> Self {
        let rank = |share: f64| {
            let index = (latencies.len() as f64 * share).ceil() as usize;
            latencies.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
        };
        let pages = short.iter().map(|(what, time)| (*what, [*time, long.get(what).copied().unwrap_or(f64::NAN)]));
        let mut report = Self {
            broker_rate,
            database_rate,
            pipeline_rate,
            share: pipeline_rate / broker_rate.min(database_rate),
            latency_p50_ms: rank(0.5),
            latency_p99_ms: rank(0.99),
            messages: [small.0, large],
            memory,
            memory_ratio: memory[1] as f64 / memory[0] as f64,
            rows: [small.1, large],
            pages_ms: pages.collect(),
            missed: Vec::new(),
        };
        report.missed = report.missed();
        report
    }

    /// Every target is a ratio of two figures of one run: a slow machine is slow in both.
    fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        // A range contains no figure that is none.
        if !(SHARE_MIN..).contains(&self.share) {
            missed.push(format!("the pipeline has {:.2} of the slower part's rate, less than {SHARE_MIN}", self.share));
        }
        if !MEMORY_RATIO.contains(&self.memory_ratio) {
            let (min, max) = (MEMORY_RATIO.start(), MEMORY_RATIO.end());
            missed.push(format!("the manager's memory changes by {:.2}, not {min} to {max}", self.memory_ratio));
        }
        for (what, [short, long]) in &self.pages_ms {
            if !(..=short * PAGE_RATIO_MAX + PAGE_MORE_MS_MAX).contains(long) {
                missed.push(format!("{what}: {long:.1} ms in the long table, {short:.1} ms in the short one"));
            }
        }
        missed
    }

    /// A table.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![
            format!("queue alone                {:>9.0} items/s", self.broker_rate),
            format!("table alone                {:>9.0} items/s", self.database_rate),
            format!("pipeline                   {:>9.0} items/s", self.pipeline_rate),
            format!("pipeline/slower            {:>9.2}", self.share),
            format!(
                "latency at a tenth         {:>9.1} ms p50, {:.1} ms p99",
                self.latency_p50_ms, self.latency_p99_ms
            ),
            format!("messages waiting           {:>9} {:>9}", self.messages[0], self.messages[1]),
            format!("manager's memory           {:>9} {:>9} kB", self.memory[0] / 1024, self.memory[1] / 1024),
            format!("rows                       {:>9} {:>9}", self.rows[0], self.rows[1]),
        ];
        let pages = self.pages_ms.iter();
        lines.extend(pages.map(|(what, [short, long])| format!("{what:<26} {short:>9.1} {long:>9.1} ms")));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(pipeline: f64, memory: u64, page: f64) -> Report {
        let pages = |time| Pages::from([("list", 2.0), ("search", time)]);
        Report::new([9_000.0, 5_000.0, pipeline], &[1.0], ((1, 1), 10), [1_000, memory], &[pages(2.0), pages(page)])
    }

    #[test]
    fn a_target_that_is_missed_is_named() {
        assert_eq!(report(3_500.0, 1_100, 30.9).missed, [""; 0]);
        assert_eq!(report(3_500.0, 900, 1.0).missed, [""; 0]);
        for (report, words) in [
            (report(3_499.0, 1_000, 2.0), "0.70 of the slower part's rate"),
            (report(f64::NAN, 1_000, 2.0), "slower part's rate"),
            (report(4_000.0, 1_101, 2.0), "memory"),
            (report(4_000.0, 899, 2.0), "memory"),
            (report(4_000.0, 1_000, 31.1), "search: 31.1 ms"),
        ] {
            assert!(matches!(report.missed.as_slice(), [one] if one.contains(words)), "{:?}", report.missed);
        }
    }
}
