//! PostgreSQL is killed and started again, in mid-stream.

use std::time::Duration;

use tokio::{task::block_in_place, time::sleep};

use super::{Share, world::World};
use symphony_sim::rng::Rng;

/// Times, however short the run.
const STRIKES: u32 = 10;

pub(super) async fn strike(world: &mut World, rng: &mut Rng, _: Share) -> u32 {
    for _ in 0..STRIKES {
        world.flows().await;
        sleep(Duration::from_millis(rng.below(500))).await;
        block_in_place(|| world.postgres.crash());
        sleep(Duration::from_millis(rng.below(1_000))).await;
        block_in_place(|| world.postgres.resume());
    }
    STRIKES
}
