//! What a long queue costs the manager.

use std::time::{Duration, Instant};

use super::{bare, stage::Stage};

/// Time for the manager to work on the queue while its memory is watched.
const WATCH: Duration = Duration::from_secs(8);

/// Most memory of a new manager, bytes, that works with this many messages waiting.
pub(super) async fn with_messages_waiting(stage: &mut Stage, messages: usize) -> u64 {
    bare::publish(stage, messages).await;
    stage.start_manager().await;
    let (begun, mut most) = (Instant::now(), 0);
    while begun.elapsed() < WATCH {
        most = stage.memory_of_manager().max(most);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.stop_manager();
    stage.empty().await;
    most
}
