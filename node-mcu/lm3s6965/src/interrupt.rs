//! Interrupts of peripherals, each to its driver.

#![allow(unsafe_code, reason = "the vector table is the hardware's")]

use cortex_m::{interrupt::InterruptNumber, peripheral::NVIC};
use cortex_m_rt::exception;

use crate::{ethernet, time_driver};

/// Positions in the vector table (data sheet, table 2-9).
#[derive(Clone, Copy)]
pub(crate) enum Interrupt {
    Timer0A = 19,
    Ethernet = 42,
}

// SAFETY: the numbers are those of the vector table.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

impl Interrupt {
    pub(crate) fn enable(self) {
        // SAFETY: nothing here rests on an interrupt being masked.
        unsafe { NVIC::unmask(self) }
    }
}

#[exception]
unsafe fn DefaultHandler(number: i16) {
    match number {
        19 => time_driver::on_alarm(),
        42 => ethernet::on_interrupt(),
        _ => defmt::panic!("no driver for interrupt {}", number),
    }
}

#[exception]
fn SysTick() {
    time_driver::on_wrap();
}
