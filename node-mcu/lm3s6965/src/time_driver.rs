//! Time: SysTick counts, Timer0 wakes.
//!
//! SysTick runs free over its 24 bits and interrupts when it wraps, three times a second. Whoever holds the processor back
//! for longer than that makes the clock lose a third of a second, as a host does that is busy while it emulates the board:
//! a leader's lease then lasts too long. Nothing in the firmware does, and no emulator should hold a lease that matters.
//! Timer0 is the alarm, once for the next deadline (data sheet, chapter 10: 32 bits, one shot).

use core::{
    cell::{Cell, RefCell},
    task::Waker,
};

use cortex_m::peripheral::{SCB, SYST, syst::SystClkSource};
use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::{Driver, TICK_HZ, time_driver_impl};
use embassy_time_queue_utils::Queue;

use crate::{
    interrupt::Interrupt,
    mmio::{Peripheral::Timer0, Register},
    system::CYCLES_PER_MICROSECOND,
};

const CONTROL: Register = Register::new(Timer0, 0x00c);
const MODE: Register = Register::new(Timer0, 0x004);
const INTERRUPTS: Register = Register::new(Timer0, 0x018);
const CLEAR: Register = Register::new(Timer0, 0x024);
const LOAD: Register = Register::new(Timer0, 0x028);

const MODE_ONE_SHOT: u32 = 1;
const CONTROL_ENABLE: u32 = 1;
const TIME_OUT: u32 = 1;

const WRAP_CYCLES: u32 = 1 << 24;

const _: () = assert!(TICK_HZ == 1_000_000, "a tick is a microsecond");

struct TimeDriver {
    wraps: Mutex<Cell<u32>>,
    /// Cycles at the latest look.
    latest: Mutex<Cell<u64>>,
    queue: Mutex<RefCell<Queue>>,
}

time_driver_impl!(static DRIVER: TimeDriver = TimeDriver {
    wraps: Mutex::new(Cell::new(0)),
    latest: Mutex::new(Cell::new(0)),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

/// Starts the clock at zero.
pub(crate) fn start(mut systick: SYST) {
    systick.set_clock_source(SystClkSource::Core);
    systick.set_reload(WRAP_CYCLES - 1);
    systick.clear_current();
    systick.enable_interrupt();
    systick.enable_counter();
    MODE.write(MODE_ONE_SHOT);
    INTERRUPTS.write(TIME_OUT);
    Interrupt::Timer0A.enable();
}

pub(crate) fn on_wrap() {
    critical_section::with(|cs| {
        let wraps = DRIVER.wraps.borrow(cs);
        wraps.set(wraps.get().wrapping_add(1));
    });
}

pub(crate) fn on_alarm() {
    CLEAR.write(TIME_OUT);
    critical_section::with(|cs| DRIVER.wake_those_due(cs));
}

impl Driver for TimeDriver {
    fn now(&self) -> u64 {
        let cycles = critical_section::with(|cs| {
            let mut wraps = self.wraps.borrow(cs).get();
            let mut left = SYST::get_current();
            if SCB::is_pendst_pending() {
                // It wrapped before or after the look at it; now it certainly has.
                wraps = wraps.wrapping_add(1);
                left = SYST::get_current();
            }
            // A period begins with the zero at which the interrupt comes.
            let elapsed = if left == 0 { 0 } else { WRAP_CYCLES - left };
            let cycles = u64::from(wraps) * u64::from(WRAP_CYCLES) + u64::from(elapsed);
            // An emulator may show the zero a moment before the interrupt.
            let latest = self.latest.borrow(cs);
            latest.set(latest.get().max(cycles));
            latest.get()
        });
        cycles / u64::from(CYCLES_PER_MICROSECOND)
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            if self.queue.borrow_ref_mut(cs).schedule_wake(at, waker) {
                self.wake_those_due(cs);
            }
        });
    }
}

impl TimeDriver {
    /// Wakes who waits for a moment that has passed, and sets the alarm for the next.
    fn wake_those_due(&self, cs: CriticalSection) {
        let now = self.now();
        let next = self.queue.borrow_ref_mut(cs).next_expiration(now);
        CONTROL.write(0);
        if next < u64::MAX {
            // An alarm that comes early, after the 85 s that the timer can count, is set again.
            let cycles = next.saturating_sub(now).saturating_mul(u64::from(CYCLES_PER_MICROSECOND));
            LOAD.write(u32::try_from(cycles).unwrap_or(u32::MAX).max(1));
            CONTROL.write(CONTROL_ENABLE);
        }
    }
}
