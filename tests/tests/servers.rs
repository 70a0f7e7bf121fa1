//! Tests against real servers; ignored where a server program is not installed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed step fails the test")]

#[path = "servers/broker.rs"]
mod broker;
#[path = "servers/cluster.rs"]
mod cluster;
#[path = "servers/files.rs"]
mod files;
#[path = "servers/mail.rs"]
mod mail;
#[path = "servers/manual.rs"]
mod manual;
#[path = "servers/pipeline.rs"]
mod pipeline;
#[path = "servers/postgres.rs"]
mod postgres;
#[path = "servers/terms.rs"]
mod terms;

use libtest_mimic::Arguments;

fn main() {
    let trials =
        [broker::trials(), files::trials(), mail::trials(), manual::trials(), pipeline::trials(), postgres::trials()];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
