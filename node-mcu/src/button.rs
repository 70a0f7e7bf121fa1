//! Buttons.

use embassy_time::{Duration, Timer};

/// Slow enough for contacts that bounce.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A button, which tells whether it is down.
#[derive(Debug)]
pub struct Button<F> {
    is_down: F,
    was_down: bool,
}

impl<F: FnMut() -> bool> Button<F> {
    /// A button; what is down already counts as pressed before.
    pub fn new(mut is_down: F) -> Self {
        let was_down = is_down();
        Self { is_down, was_down }
    }

    /// Waits until it is pressed. Nothing is lost if the wait is dropped, and begun again while it is still down.
    pub async fn press(&mut self) {
        loop {
            let is_down = (self.is_down)();
            let was_down = core::mem::replace(&mut self.was_down, is_down);
            if is_down && !was_down {
                return;
            }
            Timer::after(LOOK_INTERVAL).await;
        }
    }
}
