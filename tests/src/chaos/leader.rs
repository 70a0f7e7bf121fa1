//! The leader is killed every few seconds, and started again at once.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Share, world::World};
use symphony_sim::rng::Rng;

/// Time, however short the run.
const TIME: Duration = Duration::from_secs(60);

pub(super) async fn strike(world: &mut World, rng: &mut Rng, _: Share) -> u32 {
    let begun = Instant::now();
    let (mut strikes, mut term) = (0, 0);
    while begun.elapsed() < TIME {
        let leader = world.leader_after(term).await;
        sleep(Duration::from_millis(rng.range(500, 3_000))).await;
        term = leader.term;
        world.kill_node(leader.node);
        world.start_node(leader.node);
        strikes += 1;
    }
    world.leader_after(term).await;
    strikes
}
