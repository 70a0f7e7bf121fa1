//! Checks every run of three voters within a bound, over the real endpoint.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use symphony_tests::model::{Bound, Fault, check};

/// Checks every run of three voters within a bound, over the real endpoint.
#[derive(Parser)]
struct Arguments {
    /// The last term.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=6))]
    terms: u8,
    /// Also tell endpoint states apart by timers and by what they owe; slower, and must find as many words.
    #[arg(long)]
    finer: bool,
    /// Build a mistake into the model: it must be found.
    #[arg(long)]
    plant: Option<Plant>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Plant {
    NothingStored,
    VoteForgotten,
    AcknowledgedEarly,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let fault = arguments.plant.map(|plant| match plant {
        Plant::NothingStored => Fault::NothingStored,
        Plant::VoteForgotten => Fault::VoteForgotten,
        Plant::AcknowledgedEarly => Fault::AcknowledgedEarly,
    });
    let report = check(Bound { term_max: arguments.terms, finer: arguments.finer, fault }, None);
    match serde_json::to_string(&report) {
        Ok(json) if arguments.json => println!("{json}"),
        _ => {
            println!("cluster states, unique  {:>12}", report.states_unique);
            println!("cluster states, total   {:>12}", report.states_total);
            println!("depth                   {:>12}", report.depth);
            println!("endpoint states         {:>12}", report.endpoint_states);
            println!("endpoint steps          {:>12}", report.endpoint_steps);
            println!("words                   {:>12}", report.words);
            println!("exhausted               {:>12}", report.exhausted);
            println!("time                    {:>12.1} s", report.seconds);
            for name in &report.unreachable {
                println!("NOT REACHED: {name}");
            }
            for (name, steps) in &report.broken {
                println!("BROKEN: {name}");
                for step in steps {
                    println!("    {step}");
                }
            }
        }
    }
    let holds = report.broken.is_empty() && (report.unreachable.is_empty() && report.exhausted);
    if holds == fault.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
