//! Peak stack, by painting.

#![allow(unsafe_code, reason = "the stack is memory that belongs to nobody")]

use core::{arch::asm, ptr};

const PAINT: u32 = 0xdead_beef;

/// Distance below the stack pointer that stays as it is, for the painter's own frame, bytes.
const OWN_FRAME: usize = 64;

/// Runs `work`, and returns the bytes of stack it took below this function's frame, with its result.
#[inline(never)]
pub fn measure<R>(work: impl FnOnce() -> R) -> (usize, R) {
    let top = stack_pointer() - OWN_FRAME;
    let bottom = cortex_m_rt::heap_start() as usize;
    paint(bottom, top);
    let result = apart(work);
    (top - lowest_touched(bottom, top), result)
}

/// Has a frame of its own, below what is measured, for what is inlined into `work`.
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[inline(always)]
fn stack_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

#[inline(never)]
fn paint(bottom: usize, top: usize) {
    // The painter itself uses a few words below `top`; they are painted over and not needed.
    for address in (bottom..top - 2 * OWN_FRAME).step_by(4) {
        // SAFETY: RAM between what is static and the stack in use; there is no heap.
        unsafe { ptr::with_exposed_provenance_mut::<u32>(address).write_volatile(PAINT) };
    }
}

#[inline(never)]
fn lowest_touched(bottom: usize, top: usize) -> usize {
    let is_touched = |address: &usize| {
        // SAFETY: as for `paint`.
        unsafe { ptr::with_exposed_provenance::<u32>(*address).read_volatile() != PAINT }
    };
    (bottom..top).step_by(4).find(is_touched).unwrap_or(top)
}
