//! The network between manager and leader is cut, while the leader goes on leading.

use std::time::Duration;

use tokio::time::sleep;

use super::{Share, world::World};
use symphony_sim::rng::Rng;

/// Times in a whole run.
const STRIKES: u32 = 10;

/// What becomes of what was on its way.
#[derive(Clone, Copy)]
enum Kind {
    /// It arrives late.
    Held,
    /// It is lost, after both sides have waited for it.
    Lost,
    /// It is lost at once, and nobody can connect.
    Refused,
}

pub(super) async fn strike(world: &mut World, rng: &mut Rng, share: Share) -> u32 {
    for _ in 0..share.of(STRIKES) {
        world.flows().await;
        let leader = world.leader_after(0).await;
        let Some(way) = world.to_nodes.get(&leader.node) else { continue };
        let kind = rng.pick(&[Kind::Held, Kind::Lost, Kind::Refused]);
        let time = Duration::from_millis(rng.range(200, 4_000));
        match kind {
            Kind::Held | Kind::Lost => way.pause(),
            Kind::Refused => way.cut(),
        }
        sleep(time).await;
        if matches!(kind, Kind::Lost) {
            way.cut();
        }
        way.resume();
    }
    share.of(STRIKES)
}
