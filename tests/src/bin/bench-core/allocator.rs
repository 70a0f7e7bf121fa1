//! Counts allocations. One thread measures, so plain loads and stores do, and cost those who allocate next to nothing.

#![allow(unsafe_code, reason = "an allocator cannot be written without; it only counts and passes on")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES_LIVE: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, counted.
pub struct Counting;

/// Allocations since the start.
pub fn allocations() -> u64 {
    ALLOCATIONS.load(Relaxed)
}

/// Bytes allocated and not freed.
pub fn bytes_live() -> i64 {
    BYTES_LIVE.load(Relaxed)
}

fn note(allocations: u64, bytes: i64) {
    ALLOCATIONS.store(ALLOCATIONS.load(Relaxed) + allocations, Relaxed);
    BYTES_LIVE.store(BYTES_LIVE.load(Relaxed) + bytes, Relaxed);
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, signed(layout.size()));
        // SAFETY: the caller's promises are the system's allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, -signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, signed(size) - signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
