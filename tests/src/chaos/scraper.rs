//! The scraper's disk is full: a run that cannot write down what it is about to publish fails, and loses nothing.

use std::time::Duration;

use tokio::{task::block_in_place, time::sleep};

use super::{Share, world::World};
use symphony_sim::rng::Rng;

/// Times in a whole run.
const STRIKES: u32 = 3;

pub(super) async fn strike(world: &mut World, rng: &mut Rng, share: Share) -> u32 {
    for _ in 0..share.of(STRIKES) {
        world.flows().await;
        sleep(Duration::from_millis(rng.below(1_000))).await;
        block_in_place(|| world.scraper.disk.fill());
        world.scraper.fails().await;
        block_in_place(|| world.scraper.disk.free());
        world.scraper.recovers().await;
    }
    share.of(STRIKES)
}
