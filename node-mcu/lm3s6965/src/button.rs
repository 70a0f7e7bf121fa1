//! The button SELECT, at pin F1: low while it is pressed. QEMU has the key Ctrl for it, and the pin low until that has been
//! pressed and let go once.

use crate::mmio::{Peripheral::GpioF, Register};

/// Reads this pin alone (data sheet, section 8.2.1.2).
const PIN: Register = Register::new(GpioF, (SELECT << 2) as usize);
const PULL_UP: Register = Register::new(GpioF, 0x510);
const DIGITAL: Register = Register::new(GpioF, 0x51c);

const SELECT: u32 = 1 << 1;

/// Sets the pin up.
pub(crate) fn start() {
    PULL_UP.set(SELECT);
    DIGITAL.set(SELECT);
}

pub(crate) fn is_down() -> bool {
    PIN.read() == 0
}
