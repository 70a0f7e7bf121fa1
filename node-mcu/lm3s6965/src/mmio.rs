//! Registers of peripherals.

#![allow(unsafe_code, reason = "registers are reached through addresses")]

use core::ptr;

/// A register of 32 bits.
#[derive(Clone, Copy)]
pub(crate) struct Register(usize);

impl Register {
    /// The register at this offset of a peripheral of the LM3S6965.
    pub(crate) const fn new(peripheral: Peripheral, offset: usize) -> Self {
        assert!(offset < 0x1000 && offset.is_multiple_of(4), "a register of the peripheral's page");
        Self(peripheral as usize + offset)
    }

    pub(crate) fn read(self) -> u32 {
        // SAFETY: the address is aligned and that of a peripheral, by `new`. No peripheral here reaches into memory.
        unsafe { ptr::with_exposed_provenance::<u32>(self.0).read_volatile() }
    }

    pub(crate) fn write(self, value: u32) {
        // SAFETY: as for `read`.
        unsafe { ptr::with_exposed_provenance_mut::<u32>(self.0).write_volatile(value) }
    }

    pub(crate) fn set(self, bits: u32) {
        self.write(self.read() | bits);
    }
}

/// Base addresses (data sheet, table 2-8).
#[derive(Clone, Copy)]
pub(crate) enum Peripheral {
    Watchdog = 0x4000_0000,
    GpioA = 0x4000_4000,
    GpioF = 0x4002_5000,
    Uart0 = 0x4000_c000,
    Timer0 = 0x4003_0000,
    Ethernet = 0x4004_8000,
    System = 0x400f_e000,
}
