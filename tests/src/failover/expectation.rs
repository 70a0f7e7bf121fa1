//! How long a cluster is without a leader on average, if nothing but the waits and the losses takes time.

use std::time::Duration;

use super::Settings;
use symphony_sim::rng::Rng;

/// Deaths that are drawn where there is no formula.
const DRAWS: u32 = 20_000;

/// Mean time to the next leader: no delay, no disk, no two candidates.
pub(super) fn mean(settings: &Settings) -> Duration {
    if settings.loss_percent == 0 { without_loss(settings) } else { drawn(settings) }
}

/// Mean of the shortest of `nodes - 1` waits, uniform between the timeouts, less half a heartbeat interval.
fn without_loss(settings: &Settings) -> Duration {
    let (min, max) = settings.timeout;
    (min + (max - min) / u32::from(settings.nodes)).saturating_sub(settings.heartbeat / 2)
}

fn drawn(settings: &Settings) -> Duration {
    let mut rng = Rng::new(1, 5);
    let total: u64 = (0..DRAWS).map(|_| draw_us(settings, &mut rng)).sum();
    Duration::from_micros(total / u64::from(DRAWS))
}

/// One death at the moment 0: who last heard the leader when, who asks first, and when a majority has been asked and heard
/// twice, for pre-votes and for votes. Requests are repeated with every heartbeat interval; who has heard the leader for
/// less than the shortest timeout refuses.
fn draw_us(settings: &Settings, rng: &mut Rng) -> u64 {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let (min, max) = (micros(settings.timeout.0), micros(settings.timeout.1));
    let interval = micros(settings.heartbeat);
    let loss = u64::from(settings.loss_percent);
    let latest = rng.below(interval);
    let heard_ago: Vec<u64> = (1..settings.nodes)
        .map(|_| {
            let mut ago = latest;
            while rng.percent(loss) {
                ago += interval;
            }
            ago
        })
        .collect();
    let quorum = usize::from(settings.nodes / 2 + 1);
    let mut elected = u64::MAX;
    for candidate in 0..heard_ago.len() {
        let mut now = rng.range(min, max).saturating_sub(heard_ago[candidate]);
        for _round in ["pre-votes", "votes"] {
            let mut grants: Vec<u64> = Vec::new();
            for (_, ago) in heard_ago.iter().enumerate().filter(|(voter, _)| *voter != candidate) {
                let mut asked = now;
                while asked + ago < min || rng.percent(loss) || rng.percent(loss) {
                    asked += interval;
                }
                grants.push(asked);
            }
            grants.sort_unstable();
            // The candidate's own is the first of the majority.
            now = grants.get(quorum.saturating_sub(2)).copied().unwrap_or(u64::MAX);
        }
        elected = elected.min(now);
    }
    elected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(loss_percent: u8) -> Settings {
        let ms = Duration::from_millis;
        Settings { nodes: 5, timeout: (ms(150), ms(300)), heartbeat: ms(50), trials: 0, loss_percent }
    }

    #[test]
    fn the_expectation_is_that_of_the_shortest_wait() {
        assert_eq!(without_loss(&settings(0)), Duration::from_millis(155));
    }

    #[test]
    fn draws_agree_with_the_formula_where_nothing_is_lost() {
        let (drawn, formula) = (drawn(&settings(0)).as_secs_f64(), without_loss(&settings(0)).as_secs_f64());
        assert!((drawn / formula - 1.0).abs() < 0.01, "{drawn} and {formula}");
    }

    #[test]
    fn what_is_lost_costs_time() {
        let means: Vec<_> = [0, 10, 30, 50].map(|loss| mean(&settings(loss))).into();
        assert!(means.is_sorted(), "{means:?}");
    }
}
