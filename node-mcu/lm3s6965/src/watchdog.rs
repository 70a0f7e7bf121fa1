//! The watchdog timer, which restarts a board that stands still (data sheet, chapter 11).

use crate::mmio::{Peripheral::Watchdog, Register};

const LOAD: Register = Register::new(Watchdog, 0x000);
const CONTROL: Register = Register::new(Watchdog, 0x008);
const CLEAR: Register = Register::new(Watchdog, 0x00c);

/// Count, and reset when it is zero for the second time. Only a reset ends that.
const CONTROL_ON: u32 = 1 << 0 | 1 << 1;

/// Time to the first zero, cycles: a board that is not fed starts again after 8 s.
const CYCLES: u32 = 4 * 1_000_000 * crate::system::CYCLES_PER_MICROSECOND;

/// Starts to wait for food.
pub(crate) fn start() {
    LOAD.write(CYCLES);
    CONTROL.write(CONTROL_ON);
}

/// Begins to wait anew.
pub(crate) fn feed() {
    CLEAR.write(0);
}
