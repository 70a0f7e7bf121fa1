//! The chip itself: clocks, power of peripherals, the board's hardware address (data sheet, chapter 5).

use cortex_m::asm::delay;

use crate::mmio::{Peripheral::System, Register};

/// Cycles of the processor in a microsecond.
pub(crate) const CYCLES_PER_MICROSECOND: u32 = 50;

const RIS: Register = Register::new(System, 0x050);
const RCC: Register = Register::new(System, 0x060);
const RCGC0: Register = Register::new(System, 0x100);
const RCGC1: Register = Register::new(System, 0x104);
const RCGC2: Register = Register::new(System, 0x108);
const USER_REG0: Register = Register::new(System, 0x1e0);
const USER_REG1: Register = Register::new(System, 0x1e4);

const RIS_PLL_LOCKED: u32 = 1 << 6;

const RCC_MAIN_OSCILLATOR_OFF: u32 = 1 << 0;
const RCC_OSCILLATOR: u32 = 0b11 << 4;
const RCC_CRYSTAL: u32 = 0b1111 << 6;
const RCC_CRYSTAL_8_MHZ: u32 = 0xe << 6;
const RCC_PLL_BYPASS: u32 = 1 << 11;
const RCC_PLL_OFF: u32 = 1 << 13;
const RCC_DIVIDE: u32 = 1 << 22;
const RCC_DIVISOR: u32 = 0b1111 << 23;
/// 200 MHz by 4.
const RCC_DIVISOR_50_MHZ: u32 = 3 << 23;

const RCGC0_WATCHDOG: u32 = 1 << 3;
const RCGC1_UART0: u32 = 1 << 0;
const RCGC1_TIMER0: u32 = 1 << 16;
const RCGC2_GPIO_A: u32 = 1 << 0;
const RCGC2_GPIO_F: u32 = 1 << 5;
const RCGC2_ETHERNET: u32 = 1 << 28 | 1 << 30;

/// Runs the processor from the 8 MHz crystal at 50 MHz (section 5.2.4.4), and switches on what the drivers use.
pub(crate) fn start() {
    let rcc = (RCC.read() | RCC_PLL_BYPASS) & !(RCC_DIVIDE | RCC_MAIN_OSCILLATOR_OFF);
    RCC.write(rcc);
    delay(100_000);
    let rcc = (rcc & !(RCC_OSCILLATOR | RCC_CRYSTAL | RCC_PLL_OFF)) | RCC_CRYSTAL_8_MHZ;
    RCC.write(rcc);
    let rcc = (rcc & !RCC_DIVISOR) | RCC_DIVISOR_50_MHZ | RCC_DIVIDE;
    RCC.write(rcc);
    while RIS.read() & RIS_PLL_LOCKED == 0 {}
    RCC.write(rcc & !RCC_PLL_BYPASS);

    RCGC0.set(RCGC0_WATCHDOG);
    RCGC1.set(RCGC1_UART0 | RCGC1_TIMER0);
    RCGC2.set(RCGC2_GPIO_A | RCGC2_GPIO_F | RCGC2_ETHERNET);
    // A peripheral answers three cycles after it has a clock.
    delay(16);
}

/// The hardware address, which the board's maker keeps in the two user registers; none if nobody has written it there.
pub(crate) fn hardware_address() -> Option<[u8; 6]> {
    let ([a, b, c, _], [d, e, f, _]) = (USER_REG0.read().to_le_bytes(), USER_REG1.read().to_le_bytes());
    let address = [a, b, c, d, e, f];
    (address != [0xff; 6]).then_some(address)
}
