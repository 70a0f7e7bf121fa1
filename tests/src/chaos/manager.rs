//! The manager is killed between POST and acknowledgement: items are committed, and the broker never hears of it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Share, world::World};
use symphony_sim::rng::Rng;

use crate::symphony::until;

/// Times in a whole run.
const STRIKES: u32 = 10;

/// What the manager has in its hands is committed within this time, or it had nothing.
const COMMIT_TIME_MAX: Duration = Duration::from_secs(5);

pub(super) async fn strike(world: &mut World, rng: &mut Rng, share: Share) -> u32 {
    for _ in 0..share.of(STRIKES) {
        while !hold_acknowledgements(world).await {
            world.to_broker.resume();
            world.flows().await;
        }
        sleep(Duration::from_millis(rng.below(300))).await;
        let before = world.recognised().await;
        world.kill_manager();
        // What the proxy has held back dies with the manager.
        world.to_broker.cut();
        world.to_broker.resume();
        world.start_manager();
        world.ready().await;
        let recognised = async || (world.recognised().await > before).then_some(());
        until("what was committed to come again, and to be recognised", recognised).await;
    }
    share.of(STRIKES)
}

/// Lets nothing more through to the broker, and waits until items are committed that it will not hear of. `false` if
/// there were none.
async fn hold_acknowledgements(world: &World) -> bool {
    world.to_broker.pause();
    // What was acknowledged before was committed before.
    let before = world.stored().await.messages;
    let begun = Instant::now();
    while begun.elapsed() < COMMIT_TIME_MAX {
        if world.stored().await.messages > before {
            return true;
        }
        sleep(Duration::from_millis(10)).await;
    }
    false
}
