//! Bytes from anywhere reach nodes of every role.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| symphony_fuzz::subject::hold_raw_bytes(bytes));
