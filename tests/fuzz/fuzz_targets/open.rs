//! Bytes from anywhere, and datagrams of a member with some bytes changed: none is taken in.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| symphony_fuzz::door::hold_shut(bytes));
