//! Anything happens to a node, in any order: datagrams, time, disks, commands, restarts.

#![no_main]

use symphony_fuzz::subject::{Story, hold_operations};

libfuzzer_sys::fuzz_target!(|story: Story| hold_operations(&story));
