//! Anything behind a seal that is right, as a message and as a hello.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| symphony_fuzz::door::hold_sealed(bytes));
