//! Well-formed messages reach a node of any role, from every member and in any order.

#![no_main]

use symphony_fuzz::subject::{Conversation, hold_messages};

libfuzzer_sys::fuzz_target!(|conversation: Conversation| hold_messages(&conversation));
