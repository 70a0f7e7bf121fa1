//! Tests against real servers; ignored where a server program is not installed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed step fails the test")]

#[path = "servers/broker.rs"]
mod broker;
#[path = "servers/chaos.rs"]
mod chaos;
#[path = "servers/dead_disk.rs"]
mod dead_disk;
#[path = "servers/dead_letters.rs"]
mod dead_letters;
#[path = "servers/files.rs"]
mod files;
#[path = "servers/frozen.rs"]
mod frozen;
#[path = "servers/journal.rs"]
mod journal;
#[path = "servers/lost_states.rs"]
mod lost_states;
#[path = "servers/mail.rs"]
mod mail;
#[path = "servers/manual.rs"]
mod manual;
#[path = "servers/outbox.rs"]
mod outbox;
#[path = "servers/pipeline.rs"]
mod pipeline;
#[path = "servers/postgres.rs"]
mod postgres;
#[path = "servers/readiness.rs"]
mod readiness;
#[path = "servers/tls.rs"]
mod tls;
#[path = "servers/transfers.rs"]
mod transfers;

use libtest_mimic::Arguments;

/// Linked from the same sources as these tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE_symphony-under-test");

fn main() {
    let trials = [
        broker::trials(),
        chaos::trials(),
        dead_disk::trials(),
        dead_letters::trials(),
        files::trials(),
        frozen::trials(),
        journal::trials(),
        lost_states::trials(),
        mail::trials(),
        manual::trials(),
        outbox::trials(),
        pipeline::trials(),
        postgres::trials(),
        readiness::trials(),
        tls::trials(),
        transfers::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
