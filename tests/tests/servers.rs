//! Tests against real servers; ignored where a server program is not installed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed step fails the test")]

#[path = "servers/manual.rs"]
mod manual;

use libtest_mimic::Arguments;

fn main() {
    let trials = [manual::trials()].into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
