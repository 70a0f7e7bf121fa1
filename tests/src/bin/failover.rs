//! Stops leaders dead and measures how long the cluster is without one.

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use symphony_tests::failover::{Settings, measure};

/// Stops leaders dead and measures how long the cluster is without one.
#[derive(Parser)]
struct Arguments {
    /// Voters.
    #[arg(long, default_value_t = 5)]
    nodes: u16,
    /// Shortest and longest election timeout, milliseconds.
    #[arg(long, default_value = "150-300", value_parser = range)]
    timeout_ms: (u64, u64),
    /// Time between heartbeats, milliseconds; a quarter of the shortest timeout unless told.
    #[arg(long)]
    heartbeat_ms: Option<u64>,
    /// Leaders to stop.
    #[arg(long, default_value_t = 100)]
    trials: u32,
    /// Share of datagrams lost, per cent.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=50))]
    loss_percent: u8,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (min, max) = text.split_once('-').ok_or("expected MIN-MAX")?;
    let number = |text: &str| text.parse().map_err(|error| format!("{text:?}: {error}"));
    Ok((number(min)?, number(max)?))
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (min, max) = arguments.timeout_ms;
    let settings = Settings {
        nodes: arguments.nodes,
        timeout: (Duration::from_millis(min), Duration::from_millis(max)),
        heartbeat: arguments.heartbeat_ms.map_or(Duration::from_millis(min) / 4, Duration::from_millis),
        trials: arguments.trials,
        loss_percent: arguments.loss_percent,
    };
    let trials = settings.trials;
    let watched = std::io::stderr().is_terminal();
    let report = measure(&settings, |done| {
        if watched {
            eprint!("\r{done}/{trials}");
            let _ = std::io::stderr().flush();
        }
    });
    let report = match report.await {
        Ok(report) => report,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if watched {
        eprintln!();
    }
    match serde_json::to_string(&report) {
        Ok(json) if arguments.json => println!("{json}"),
        _ => {
            println!("leaders stopped  {:>8}", report.trials);
            println!("mean             {:>8.1} ms", report.mean_ms);
            println!("median           {:>8.1} ms", report.p50_ms);
            println!("99th percentile  {:>8.1} ms", report.p99_ms);
            println!("longest          {:>8.1} ms", report.max_ms);
            println!("expectation      {:>8.1} ms", report.expected_ms);
            println!("mean/expectation {:>8.2}", report.ratio);
            println!("elections repeated {:>6}", report.repeated);
            if let (Some(target), Some(is_met)) = (report.target, report.is_met) {
                println!("{}: {target:?}", if is_met { "target met" } else { "target missed" });
            }
        }
    }
    ExitCode::SUCCESS
}
