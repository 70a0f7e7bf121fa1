//! What a board adds to its node.

use core::future::{Future, pending};

use symphony_core::{Command, Duration, Event};

/// The node turns at least this often, even if nothing happens.
pub const TURN_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// Lamps, buttons and a watchdog: whatever the board has of them.
pub trait Board {
    /// Shows a change.
    fn on_event(&mut self, _event: &Event) {}

    /// The node is at work: feeds the watchdog. Called in every [`TURN_INTERVAL_MAX`], and while a record is saved not at
    /// all, so a watchdog waits for as long as a page takes to be erased, and some seconds more.
    fn on_turn(&mut self) {}

    /// Waits until somebody at the board asks for something. What waits may be dropped, and is asked for again.
    fn command(&mut self) -> impl Future<Output = Command> {
        pending()
    }
}
