//! What a seed stands for: the cluster, its timing, and which faults will strike. Every seed takes its own selection
//! of faults, so that some strike often together and others are left alone ("swarm testing", Groce et al., 2012).

use symphony_core::{ClusterId, Duration, Member, Timing};

use crate::{attacker::Trick, chaos::Fault, clock::RATE_TRUE_PPM, network::Quality, rng::Rng, sealed};

/// Sizes of cluster that a run may have, both included, from 1 to 7.
pub type Sizes = (usize, usize);

/// Peers of a node, at most.
pub const PEERS_MAX: usize = 6;

/// What a node saves.
pub type Saved = symphony_core::Saved<PEERS_MAX>;

/// Everything that is decided before a run begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The cluster's identity.
    pub cluster: ClusterId,
    /// Its members; the node at index `i` has the id `i + 1`.
    pub members: Vec<Member>,
    /// Each node's timing: the same for all, but for some seeds; there a node may start again with that of another.
    pub timings: Vec<Timing>,
    /// How fast each node's clock runs, parts per million.
    pub rates_ppm: Vec<u64>,
    /// Each start of a node begins its clock anew.
    pub clocks_restart: bool,
    /// Clocks leap, stall and fall back, which breaks the leases' condition.
    pub clocks_jump: bool,
    /// The network in good times.
    pub healthy: Quality,
    /// The network in bad times.
    pub bad: Quality,
    /// Time to save a record, shortest and longest, microseconds.
    pub save_us: (u64, u64),
    /// The same in bad times.
    pub save_bad_us: (u64, u64),
    /// A node does nothing else while it saves.
    pub disk_blocks: bool,
    /// Saves that end in a crash, per cent, in bad times.
    pub save_crash_percent: u64,
    /// Saves whose sync fails, per cent, in bad times.
    pub sync_fail_percent: u64,
    /// Disks are rolled back to a snapshot, or lost and provisioned anew, at the end of the bad times.
    pub disk_rollback: bool,
    /// What somebody on the path does, in good times and bad; nothing if there is nobody.
    pub tricks: Vec<Trick>,
    /// Faults that strike in bad times, one at a time at random moments.
    pub faults: Vec<Fault>,
    /// Mean time between two faults, microseconds.
    pub fault_gap_us: u64,
    /// Length of the bad times, microseconds.
    pub chaos_us: u64,
    /// Longest election timeout of any node, microseconds.
    pub timeout_us: u64,
}

/// Shortest election timeouts that runs are made with, milliseconds.
const TIMEOUTS_MIN_MS: [u64; 10] = [10, 12, 20, 50, 150, 300, 1_000, 4_000, 30_000, 120_000];

impl Plan {
    /// Draws the plan of a seed.
    #[must_use]
    pub fn draw(seed: u64, sizes: Sizes) -> Self {
        let rng = &mut Rng::new(seed, 1);
        let members = draw_members(rng, sizes);
        let drift_percent = rng.pick(&[0, 1, 10, 10]);
        let timing = draw_timing(rng, drift_percent);
        let differ = rng.percent(25);
        let timings: Vec<_> =
            members.iter().map(|_| if differ { stretch(timing, rng.range(100, 160)) } else { timing }).collect();
        let timeout_us = timings.iter().map(|timing| timing.election_timeout_max.as_micros()).max().unwrap_or(0);
        let shortest_us = timing.election_timeout_min.as_micros();
        let drift_ppm = u64::from(drift_percent) * RATE_TRUE_PPM / 100;
        let rates_ppm = members.iter().map(|_| draw_rate(rng, drift_ppm)).collect();
        let slowest_us = shortest_us / rng.range(25, 100) + 20;
        // Where everything takes equally long, only the nodes' own choices break a tie.
        let even = rng.percent(30);
        let healthy = Quality::clean((if even { slowest_us } else { shortest_us / 400 + 10 }, slowest_us));
        let bad = draw_bad_network(rng, shortest_us);
        let save_longest_us = shortest_us / rng.range(25, 200) + 10;
        let save_us = (if even { save_longest_us } else { shortest_us / 1_000 + 5 }, save_longest_us);
        let save_bad_us = if rng.percent(30) { (save_us.0, timeout_us * 2) } else { save_us };
        let likely = rng.pick(&[15, 45]);
        let mut faults: Vec<_> = Fault::ALL.into_iter().filter(|_| rng.percent(likely)).collect();
        if faults.is_empty() {
            faults.push(rng.pick(&Fault::ALL));
        }
        let mut save_faults = |likely| if rng.percent(likely) { rng.range(1, 15) } else { 0 };
        let (save_crash_percent, sync_fail_percent) = (save_faults(50), save_faults(30));
        let (clocks_restart, disk_blocks, disk_rollback) = (rng.percent(50), rng.percent(50), rng.percent(25));
        let tricks = if rng.percent(35) { draw_tricks(rng) } else { Vec::new() };
        Self {
            seed,
            cluster: sealed::CLUSTER,
            clocks_restart,
            clocks_jump: faults.contains(&Fault::ClockJump),
            disk_blocks,
            // Who can keep a node from its peers can hide from it that its record is old.
            disk_rollback: disk_rollback && tricks.is_empty(),
            tricks,
            save_crash_percent,
            sync_fail_percent,
            fault_gap_us: timeout_us * rng.range(5, 40) / 10,
            chaos_us: timeout_us * rng.range(15, 45),
            members,
            timings,
            rates_ppm,
            healthy,
            bad,
            save_us,
            save_bad_us,
            faults,
            timeout_us,
        }
    }

    /// A cluster without any faults but those that a scenario makes.
    #[must_use]
    pub fn calm(seed: u64, members: &[Member], timing: Timing) -> Self {
        let delay_us = (800, 1_200);
        Self {
            seed,
            cluster: sealed::CLUSTER,
            members: members.to_vec(),
            timings: vec![timing; members.len()],
            rates_ppm: vec![RATE_TRUE_PPM; members.len()],
            clocks_restart: false,
            clocks_jump: false,
            healthy: Quality::clean(delay_us),
            bad: Quality::clean(delay_us),
            save_us: (100, 300),
            save_bad_us: (100, 300),
            disk_blocks: true,
            save_crash_percent: 0,
            sync_fail_percent: 0,
            disk_rollback: false,
            tricks: Vec::new(),
            faults: Vec::new(),
            fault_gap_us: 0,
            chaos_us: 0,
            timeout_us: timing.election_timeout_max.as_micros(),
        }
    }

    /// Voters and witnesses: those whose votes count.
    #[must_use]
    pub fn electors(&self) -> usize {
        self.members.iter().filter(|member| member.suffrage != symphony_core::Suffrage::Observer).count()
    }

    /// Votes that make a majority.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.electors() / 2 + 1
    }
}

fn draw_tricks(rng: &mut Rng) -> Vec<Trick> {
    let mut tricks: Vec<_> = Trick::ALL.into_iter().filter(|_| rng.percent(40)).collect();
    tricks.push(Trick::Replay);
    tricks
}

fn draw_members(rng: &mut Rng, (low, high): Sizes) -> Vec<Member> {
    let size = u16::try_from(rng.range(low as u64, high as u64)).unwrap_or(1);
    let mixed = rng.percent(50);
    let priorities = rng.percent(25);
    (1..=size)
        .map(|id| {
            let member = match rng.below(10) {
                0..=1 if mixed && id > 1 => Member::witness(id),
                2..=3 if mixed && id > 1 => Member::observer(id),
                _ => Member::voter(id),
            };
            let priority = if priorities { u8::try_from(rng.below(3)).unwrap_or(0) } else { 0 };
            member.with_priority(priority)
        })
        .collect()
}

fn draw_timing(rng: &mut Rng, drift_percent: u8) -> Timing {
    let min_us = rng.pick(&TIMEOUTS_MIN_MS) * 1_000 * rng.range(100, 150) / 100;
    Timing {
        heartbeat_interval: Duration::from_micros(min_us / rng.range(3, 8)),
        election_timeout_min: Duration::from_micros(min_us),
        election_timeout_max: Duration::from_micros(min_us * rng.range(180, 300) / 100),
        clock_drift_max_percent: drift_percent,
    }
}

/// The same timing, slower.
fn stretch(timing: Timing, percent: u64) -> Timing {
    let slower = |duration: Duration| Duration::from_micros(duration.as_micros() * percent / 100);
    Timing {
        election_timeout_min: slower(timing.election_timeout_min),
        election_timeout_max: slower(timing.election_timeout_max),
        ..timing
    }
}

fn draw_rate(rng: &mut Rng, drift_ppm: u64) -> u64 {
    match rng.below(3) {
        0 => RATE_TRUE_PPM - drift_ppm,
        1 => RATE_TRUE_PPM + drift_ppm,
        _ => rng.range(RATE_TRUE_PPM - drift_ppm, RATE_TRUE_PPM + drift_ppm),
    }
}

fn draw_bad_network(rng: &mut Rng, shortest_us: u64) -> Quality {
    let slowest_us = shortest_us * rng.pick(&[2, 5, 10, 30, 100]) / 100;
    Quality {
        delay_us: (shortest_us / 400 + 10, slowest_us + 20),
        drop_percent: if rng.percent(60) { rng.range(1, 40) } else { 0 },
        duplicate_percent: rng.pick(&[0, 20]),
        reorder_percent: rng.pick(&[0, 0, 10, 30]),
        corrupt_percent: rng.pick(&[0, 5]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_is_a_configuration_that_the_core_accepts() {
        for seed in 0..2_000 {
            let plan = Plan::draw(seed, (1, 7));
            for (member, timing) in plan.members.iter().zip(&plan.timings) {
                let (cluster, keys) = (plan.cluster, sealed::keys());
                let config =
                    symphony_core::Config::<PEERS_MAX>::new(cluster, member.id, &plan.members, *timing, keys, seed);
                assert!(config.is_ok(), "seed {seed}: {config:?}");
            }
        }
    }
}
