//! Measures the pipeline beside the queue and the database alone, and says which targets are missed.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use symphony_tests::{
    servers::{missing, postgres, rabbitmq},
    symphony::Stand,
    throughput::{Settings, measure},
};

/// Measures the pipeline beside the queue and the database alone, and says which targets are missed.
#[derive(Parser)]
struct Arguments {
    /// Items of one measurement of a rate.
    #[arg(long, default_value_t = 20_000)]
    items: usize,
    /// Times that the rates are measured, in turns; the medians count.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A tenth of a million messages in the long queue and rows in the long table, and half the time for latencies.
    #[arg(long)]
    quick: bool,
    /// Fail if a target is missed: for a machine that has nothing else to do.
    #[arg(long)]
    check: bool,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    // This program plays the roles, too.
    if Stand::is_for_program() {
        return symphony::main();
    }
    let arguments = Arguments::parse();
    let missing = missing(&[rabbitmq::PROGRAMS, postgres::PROGRAMS].concat());
    if !missing.is_empty() {
        eprintln!("not installed: {}", missing.join(", "));
        return ExitCode::FAILURE;
    }
    let stand = Stand::new();
    let settings = Settings {
        program: stand.program(),
        items: arguments.items,
        rounds: arguments.rounds,
        latency_time: Duration::from_secs(if arguments.quick { 5 } else { 10 }),
        large: if arguments.quick { 100_000 } else { 1_000_000 },
    };
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() else {
        eprintln!("no runtime");
        return ExitCode::FAILURE;
    };
    let report = runtime.block_on(measure(&settings));
    match serde_json::to_string(&report) {
        Ok(json) if arguments.json => println!("{json}"),
        _ => println!("{}", report.text()),
    }
    for missed in &report.missed {
        eprintln!("missed: {missed}");
    }
    if !arguments.check || report.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
