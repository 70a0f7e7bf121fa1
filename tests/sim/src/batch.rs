//! Many seeds, several at a time; no run shares anything with another.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use crate::{
    plan::Sizes,
    run::{Outcome, run},
};

/// Runs `seeds` seeds from `start` on and returns what became of them, in order; stops at the first violation if told
/// to.
#[must_use]
pub fn batch(start: u64, seeds: u64, sizes: Sizes, threads: usize, stop_early: bool) -> Vec<Outcome> {
    let next = AtomicU64::new(start);
    let stopped = AtomicBool::new(false);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= start.saturating_add(seeds) || stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = run(seed, sizes, false);
                    if stop_early && outcome.violation.is_some() {
                        stopped.store(true, Ordering::Relaxed);
                    }
                    outcomes.lock().expect("a run has panicked").push(outcome);
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().expect("a run has panicked");
    outcomes.sort_by_key(|outcome| outcome.seed);
    outcomes
}
