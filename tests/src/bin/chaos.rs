//! Strikes every fault at a pipeline of real servers, and counts what came of each.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use symphony_tests::{
    chaos::{Settings, run},
    servers::{disk::Disk, missing},
    symphony::Stand,
};

/// Strikes every fault at a pipeline of real servers, and counts what came of each.
#[derive(Parser)]
struct Arguments {
    /// Time for all faults. In five minutes each is struck as often as it should be; less is fewer strikes of most (each
    /// server is killed ten times, and the leader for a minute, all the same), more is all of them again.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// What moments, kinds and victims are drawn from; the threads of real processes are not.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only faults that have this in their name.
    #[arg(long)]
    only: Option<String>,
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    // This program plays the roles, too.
    if Stand::is_for_program() {
        return symphony::main();
    }
    let arguments = Arguments::parse();
    let missing = missing(&Settings::programs());
    if !missing.is_empty() {
        eprintln!("not installed: {}", missing.join(", "));
        return ExitCode::FAILURE;
    }
    if !Disk::can_be_had() {
        eprintln!("the system lets us have no disk of our own: unshare --mount --map-root-user fails");
        return ExitCode::FAILURE;
    }
    let stand = Stand::new();
    let settings = Settings {
        program: stand.program(),
        time: Duration::from_secs_f64(arguments.minutes.clamp(0.0, 1e6) * 60.0),
        seed: arguments.seed,
        only: arguments.only,
    };
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build() else {
        eprintln!("no runtime");
        return ExitCode::FAILURE;
    };
    let report = runtime.block_on(run(&settings, |figures| {
        if !arguments.json {
            println!("{}", figures.text());
        }
    }));
    match report {
        Ok(report) => {
            if arguments.json {
                println!("{}", serde_json::to_string(&report).unwrap_or_default());
            }
            for wrong in report.faults.iter().filter(|figures| !figures.right) {
                eprintln!("{}: {:?}", wrong.fault, wrong.account);
            }
            if report.right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
