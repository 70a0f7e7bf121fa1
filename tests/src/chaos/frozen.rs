//! The manager is frozen with messages in its hands, and thawed when another leads.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Share, world::World};
use symphony_sim::rng::Rng;

/// Times in a whole run.
const STRIKES: u32 = 5;

pub(super) async fn strike(world: &mut World, rng: &mut Rng, share: Share) -> u32 {
    for _ in 0..share.of(STRIKES) {
        world.flows().await;
        let leader = world.leader_after(0).await;
        let thaw = Instant::now() + Duration::from_millis(rng.range(2_000, 6_000));
        world.signal_manager("STOP");
        sleep(Duration::from_millis(rng.below(500))).await;
        world.kill_node(leader.node);
        world.start_node(leader.node);
        world.leader_after(leader.term).await;
        tokio::time::sleep_until(thaw).await;
        world.signal_manager("CONT");
        world.flows().await;
    }
    share.of(STRIKES)
}
