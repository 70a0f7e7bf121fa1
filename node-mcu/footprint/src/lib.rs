//! What the measured programs share.

#![no_std]

pub mod stack;

/// Peers of the node that is measured.
pub const PEERS_MAX: usize = 4;

/// Links functions as they stand, without a caller of whom the optimizer could know anything: four bytes for each, and
/// nothing else of a program around them.
#[macro_export]
macro_rules! link {
    ($($function:expr),+ $(,)?) => {
        core::hint::black_box(const { &[$($function as *const ()),+] })
    };
}

/// Panics in nothing that is measured: whoever looks for the symbol finds it if one could.
#[macro_export]
macro_rules! halt_on_panic {
    () => {
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            loop {
                cortex_m::asm::wfi()
            }
        }
    };
}
