//! How long a cluster of real drivers is without a leader after its leader stops dead.
//!
//! Real sockets on loopback, real files, real clocks. The expectation is what no implementation can beat on average:
//! the shortest of the followers' waits, less the part of it that has passed when the leader dies.

mod cluster;
mod relay;

use std::time::{Duration, Instant};

use serde::Serialize;

pub use cluster::Cluster;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Voters.
    pub nodes: u16,
    /// Shortest and longest election timeout.
    pub timeout: (Duration, Duration),
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// Leaders to stop.
    pub trials: u32,
    /// Share of datagrams lost, per cent.
    pub loss_percent: u8,
}

/// Milliseconds without a leader.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Leaders stopped.
    pub trials: u32,
    /// Mean.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Longest.
    pub max_ms: f64,
    /// Mean of the waits alone: no network, no disk, no split vote, nothing lost.
    pub expected_ms: f64,
    /// Mean over expectation.
    pub ratio: f64,
    /// Elections in which the first candidate did not win.
    pub repeated: u32,
}

/// Stops a leader, measures, starts it again, as often as told.
///
/// # Errors
/// The cluster did not start, or elected nobody within a minute.
pub async fn measure(settings: &Settings, mut progress: impl FnMut(u32)) -> Result<Report, String> {
    let mut cluster = Cluster::start(settings).await?;
    let mut samples = Vec::new();
    let mut repeated = 0;
    for trial in 0..settings.trials {
        let (leader, term) = cluster.agreement().await?;
        // Any moment between two heartbeats is as likely as any other.
        tokio::time::sleep(settings.heartbeat.mul_f64(1.0 + rand::random::<f64>())).await;
        let stopped = Instant::now();
        cluster.kill(leader).await?;
        let (elected, later) = cluster.next_leader(term).await?;
        samples.push(elected.duration_since(stopped));
        repeated += u32::from(later > term + 1);
        cluster.revive(leader).await?;
        progress(trial + 1);
    }
    Ok(report(settings, samples, repeated))
}

fn report(settings: &Settings, mut samples: Vec<Duration>, repeated: u32) -> Report {
    samples.sort_unstable();
    let ms = |duration: &Duration| duration.as_secs_f64() * 1e3;
    let rank = |share: f64| {
        let index = (samples.len() as f64 * share).ceil() as usize;
        samples.get(index.saturating_sub(1)).map_or(f64::NAN, ms)
    };
    let mean_ms = samples.iter().map(ms).sum::<f64>() / samples.len() as f64;
    let expected_ms = expectation(settings).as_secs_f64() * 1e3;
    Report {
        trials: settings.trials,
        mean_ms,
        p50_ms: rank(0.5),
        p99_ms: rank(0.99),
        max_ms: rank(1.0),
        expected_ms,
        ratio: mean_ms / expected_ms,
        repeated,
    }
}

/// Mean of the shortest of `nodes - 1` waits, uniform between the timeouts, less half a heartbeat interval.
fn expectation(settings: &Settings) -> Duration {
    let (min, max) = settings.timeout;
    (min + (max - min) / u32::from(settings.nodes)).saturating_sub(settings.heartbeat / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expectation_is_that_of_the_shortest_wait() {
        let ms = Duration::from_millis;
        let settings =
            Settings { nodes: 5, timeout: (ms(150), ms(300)), heartbeat: ms(50), trials: 0, loss_percent: 0 };
        assert_eq!(expectation(&settings), ms(155));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_few_trials_are_measured_with_and_without_loss() {
        let ms = Duration::from_millis;
        for loss_percent in [0, 10] {
            let settings =
                Settings { nodes: 3, timeout: (ms(100), ms(200)), heartbeat: ms(25), trials: 2, loss_percent };
            let report = measure(&settings, |_| ()).await.unwrap();
            assert!(report.max_ms >= report.p50_ms && report.p50_ms > 50.0, "{report:?}");
        }
    }
}
