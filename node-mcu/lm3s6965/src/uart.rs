//! UART0, 115 200 baud 8N1, which carries the log (data sheet, chapter 12).

use core::convert::Infallible;

use embedded_io::{ErrorType, Write};

use crate::mmio::{
    Peripheral::{GpioA, Uart0},
    Register,
};

const DATA: Register = Register::new(Uart0, 0x00);
const FLAGS: Register = Register::new(Uart0, 0x18);
const DIVISOR: Register = Register::new(Uart0, 0x24);
const DIVISOR_FRACTION: Register = Register::new(Uart0, 0x28);
const LINE: Register = Register::new(Uart0, 0x2c);
const CONTROL: Register = Register::new(Uart0, 0x30);
const GPIO_ALTERNATE: Register = Register::new(GpioA, 0x420);
const GPIO_DIGITAL: Register = Register::new(GpioA, 0x51c);

const FLAGS_TRANSMIT_FULL: u32 = 1 << 5;
const FLAGS_BUSY: u32 = 1 << 3;
/// Eight bits, with FIFO.
const LINE_8N1: u32 = 0b11 << 5 | 1 << 4;
/// UART and transmitter.
const CONTROL_ON: u32 = 1 << 0 | 1 << 8;
const PINS: u32 = 0b11;

/// The transmitting half.
pub(crate) struct Uart(());

impl Uart {
    /// Sets UART0 up. 50 MHz / (16 × 115 200) = 27 + 8/64.
    pub(crate) fn start() -> Self {
        GPIO_ALTERNATE.set(PINS);
        GPIO_DIGITAL.set(PINS);
        CONTROL.write(0);
        DIVISOR.write(27);
        DIVISOR_FRACTION.write(8);
        LINE.write(LINE_8N1);
        CONTROL.write(CONTROL_ON);
        Self(())
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for byte in bytes {
            while FLAGS.read() & FLAGS_TRANSMIT_FULL != 0 {}
            DATA.write(u32::from(*byte));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while FLAGS.read() & FLAGS_BUSY != 0 {}
        Ok(())
    }
}
