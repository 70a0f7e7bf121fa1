//! The leader's disk is full. Its record is written in place, so it goes on: it leads, starts again, and votes. Were it
//! written anew, nobody would lead.

use std::time::Duration;

use tokio::{task::block_in_place, time::sleep};

use super::{
    Share,
    world::{NODES, World},
};
use symphony_sim::rng::Rng;

/// Times in a whole run.
const STRIKES: u32 = 3;

pub(super) async fn strike(world: &mut World, rng: &mut Rng, share: Share) -> u32 {
    for _ in 0..share.of(STRIKES) {
        let leader = world.leader_after(0).await;
        if let Some(disk) = world.disks.get(&leader.node) {
            block_in_place(|| disk.fill());
        }
        world.flows().await;
        // From now on there is no leader without the one whose disk is full, and it has a new boot and a vote to save.
        let other = leader.node % NODES + 1;
        world.kill_node(other);
        sleep(Duration::from_millis(rng.below(1_000))).await;
        world.kill_node(leader.node);
        world.start_node(leader.node);
        world.leader_after(leader.term).await;
        world.flows().await;
        if let Some(disk) = world.disks.get(&leader.node) {
            block_in_place(|| disk.free());
        }
        world.start_node(other);
        world.ready().await;
    }
    share.of(STRIKES)
}
