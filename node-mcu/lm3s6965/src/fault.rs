//! Panics and faults: the board tells of them and stands still, and after a while the watchdog restarts it. A board that
//! fails at every start thus does not write its record all the time.

#![allow(unsafe_code, reason = "an exception's handler belongs to the hardware")]

use core::{
    panic::PanicInfo,
    sync::atomic::{AtomicBool, Ordering},
};

use cortex_m_rt::{ExceptionFrame, exception};

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    stop(|| defmt::error!("{}", defmt::Display2Format(info)))
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    let (at, from) = (frame.pc(), frame.lr());
    stop(|| defmt::error!("fault at {=u32:#x}, called from {=u32:#x}", at, from))
}

fn stop(tell: impl FnOnce()) -> ! {
    static IS_TELLING: AtomicBool = AtomicBool::new(false);
    cortex_m::interrupt::disable();
    // What fails while it tells comes here again.
    if !IS_TELLING.load(Ordering::Relaxed) {
        IS_TELLING.store(true, Ordering::Relaxed);
        tell();
    }
    loop {
        cortex_m::asm::nop();
    }
}
