//! What many seeds add up to.

use serde::Serialize;

use crate::{
    invariant::Invariant,
    run::{LEADER_TIMEOUTS_MAX, LEADER_TIMEOUTS_USUAL, Outcome},
};

/// A seed that broke an invariant.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Which invariant.
    pub invariant: String,
    /// How.
    pub detail: String,
    /// When, simulated microseconds since the start.
    pub at_us: u64,
}

/// Figures of many seeds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Seeds run.
    pub seeds: u64,
    /// Seeds that broke an invariant.
    pub violations: Vec<Failure>,
    /// Times that a healthy cluster without a leader was waited on.
    pub recoveries: u64,
    /// Seeds, per cent, that had a leader within 10 election timeouts each time.
    pub leader_within_10_timeouts_percent: f64,
    /// Seeds, per cent, that had a leader within 50 election timeouts each time.
    pub leader_within_50_timeouts_percent: f64,
    /// The first of the seeds that needed more than 10.
    pub slow_seeds: Vec<u64>,
    /// As many seeds had one within 10 as should: 99.99 per cent; in less than 10,000 seeds, one may need more.
    pub lively: bool,
    /// Time to a leader, longest election timeouts: the median.
    pub leader_p50_timeouts: f64,
    /// The 99th percentile.
    pub leader_p99_timeouts: f64,
    /// The 99.99th percentile.
    pub leader_p9999_timeouts: f64,
    /// The longest.
    pub leader_max_timeouts: f64,
    /// Terms that had a leader.
    pub elections: u64,
    /// Datagrams sent.
    pub datagrams: u64,
    /// Simulated time, seconds.
    pub simulated_seconds: f64,
    /// Real time, seconds.
    pub real_seconds: f64,
    /// Simulated seconds in a real second.
    pub simulated_per_real: f64,
    /// Hash over the traces of all seeds, in their order.
    pub trace_hash: String,
}

impl Report {
    /// Adds up outcomes, which are in the order of their seeds.
    #[must_use]
    pub fn new(outcomes: &[Outcome], real_seconds: f64) -> Self {
        let mut times: Vec<_> =
            outcomes.iter().flat_map(|outcome| outcome.elections_permille.iter().copied()).collect();
        times.sort_unstable();
        let failed_to_elect = outcomes.iter().filter(|outcome| is_without_leader(outcome)).count();
        let total = times.len() + failed_to_elect;
        let within = |outcome: &Outcome, timeouts: u64| {
            !is_without_leader(outcome) && outcome.elections_permille.iter().all(|time| *time <= timeouts * 1_000)
        };
        let percent_within = |timeouts: u64| {
            let count = outcomes.iter().filter(|outcome| within(outcome, timeouts)).count();
            count as f64 * 100.0 / (outcomes.len() as f64).max(1.0)
        };
        let at = |per_10_000: usize| {
            let index = (times.len() * per_10_000 / 10_000).min(times.len().saturating_sub(1));
            times.get(index).map_or(0.0, |time| *time as f64 / 1_000.0)
        };
        let simulated_seconds = outcomes.iter().map(|outcome| outcome.simulated_us).sum::<u64>() as f64 / 1e6;
        let slow: Vec<_> = outcomes
            .iter()
            .filter(|outcome| !within(outcome, LEADER_TIMEOUTS_USUAL))
            .map(|outcome| outcome.seed)
            .collect();
        let hash = outcomes.iter().fold(0_u64, |hash, outcome| hash.rotate_left(5).wrapping_mul(31) ^ outcome.hash);
        Self {
            seeds: outcomes.len() as u64,
            violations: outcomes.iter().filter_map(failure).collect(),
            recoveries: total as u64,
            leader_within_10_timeouts_percent: percent_within(LEADER_TIMEOUTS_USUAL),
            leader_within_50_timeouts_percent: percent_within(LEADER_TIMEOUTS_MAX),
            lively: slow.len() <= outcomes.len().div_ceil(10_000),
            slow_seeds: slow.into_iter().take(20).collect(),
            leader_p50_timeouts: at(5_000),
            leader_p99_timeouts: at(9_900),
            leader_p9999_timeouts: at(9_999),
            leader_max_timeouts: at(10_000),
            elections: outcomes.iter().map(|outcome| outcome.leaders).sum(),
            datagrams: outcomes.iter().map(|outcome| outcome.datagrams).sum(),
            simulated_seconds,
            real_seconds,
            simulated_per_real: simulated_seconds / real_seconds.max(1e-9),
            trace_hash: format!("{hash:016x}"),
        }
    }

    /// The figures for a reader.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{} seeds, {} violations, trace {}\n\
             leader within 10 election timeouts in {:.3} % of the seeds, within 50 in {:.3} %; {} recoveries\n\
             time to a leader, election timeouts: p50 {:.2}, p99 {:.2}, p99.99 {:.2}, max {:.2}\n\
             {} elections, {} datagrams, {:.0} simulated seconds in {:.1} s: {:.0} to 1",
            self.seeds,
            self.violations.len(),
            self.trace_hash,
            self.leader_within_10_timeouts_percent,
            self.leader_within_50_timeouts_percent,
            self.recoveries,
            self.leader_p50_timeouts,
            self.leader_p99_timeouts,
            self.leader_p9999_timeouts,
            self.leader_max_timeouts,
            self.elections,
            self.datagrams,
            self.simulated_seconds,
            self.real_seconds,
            self.simulated_per_real,
        )
    }
}

fn failure(outcome: &Outcome) -> Option<Failure> {
    outcome.violation.as_ref().map(|violation| Failure {
        seed: outcome.seed,
        invariant: violation.invariant.to_string(),
        detail: violation.detail.clone(),
        at_us: violation.at_us,
    })
}

fn is_without_leader(outcome: &Outcome) -> bool {
    outcome.violation.as_ref().is_some_and(|violation| violation.invariant == Invariant::LeaderInTime)
}
