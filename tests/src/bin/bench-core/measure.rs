//! Takes turns among what is measured, so that a noisy moment of the machine meets all alike, and keeps the medians.

use std::{
    ops::AddAssign,
    time::{Duration, Instant},
};

use super::allocator::allocations;

/// Something to measure.
pub struct Case {
    /// Which library does it.
    pub library: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Does it as often as told, and says what that took without what prepares it.
    pub run: Box<dyn FnMut(u32) -> Took>,
}

/// What some work took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    time: Duration,
    allocations: u64,
}

impl Took {
    /// Does the work and watches it.
    pub fn by(work: impl FnOnce()) -> Self {
        let (before, start) = (allocations(), Instant::now());
        work();
        Self { time: start.elapsed(), allocations: allocations() - before }
    }
}

impl AddAssign for Took {
    fn add_assign(&mut self, more: Self) {
        self.time += more.time;
        self.allocations += more.allocations;
    }
}

/// What one time costs.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Cost {
    /// Median over all rounds.
    pub ns: f64,
    /// The quickest round: what the machine can do when nobody disturbs it.
    pub ns_min: f64,
    /// Allocations.
    pub allocations: f64,
}

impl Case {
    /// A case that prepares nothing.
    pub fn new(library: &'static str, what: &'static str, mut once: impl FnMut() + 'static) -> Self {
        let run = move |times| {
            Took::by(|| {
                for _ in 0..times {
                    once();
                }
            })
        };
        Self { library, what, run: Box::new(run) }
    }
}

/// Measures every case in as many rounds, each of about `batch`.
pub fn measure(cases: &mut [Case], rounds: usize, batch: Duration) -> Vec<Cost> {
    let times: Vec<u32> = cases.iter_mut().map(|case| calibrate(case, batch)).collect();
    let mut samples = vec![Vec::with_capacity(rounds); cases.len()];
    let mut allocations = vec![0; cases.len()];
    for _ in 0..rounds {
        for (index, case) in cases.iter_mut().enumerate() {
            let took = (case.run)(times[index]);
            samples[index].push(took.time.as_secs_f64() * 1e9 / f64::from(times[index]));
            allocations[index] += took.allocations;
        }
    }
    let done = times.iter().map(|times| f64::from(*times) * rounds as f64);
    let of_one = allocations.iter().zip(done).map(|(all, done)| *all as f64 / done);
    samples
        .into_iter()
        .zip(of_one)
        .map(|(mut ns, allocations)| {
            ns.sort_by(f64::total_cmp);
            Cost { ns: ns[ns.len() / 2], ns_min: ns[0], allocations }
        })
        .collect()
}

/// How often a case runs in `batch`; it is warm afterwards.
fn calibrate(case: &mut Case, batch: Duration) -> u32 {
    let mut times = 16;
    loop {
        let start = Instant::now();
        (case.run)(times);
        let took = start.elapsed();
        if took * 2 >= batch || times > 1 << 24 {
            let scale = batch.as_secs_f64() / took.as_secs_f64().max(1e-9);
            return (f64::from(times) * scale.clamp(0.1, 4.0)) as u32 + 1;
        }
        times *= 2;
    }
}
