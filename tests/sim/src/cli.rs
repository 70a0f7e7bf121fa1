//! The command line of the simulator.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    thread,
    time::Instant,
};

use clap::{Parser, builder::ArgPredicate};

use crate::{
    attacks::ATTACKS,
    batch::batch,
    invariant::Invariant,
    plan::{Plan, Sizes},
    plant,
    report::Report,
    run::{Outcome, run},
};

/// Runs whole clusters under simulated time, with faults, and judges what they do.
#[derive(Clone, Debug, Parser)]
#[command(name = "sim")]
pub struct Arguments {
    /// How many seeds to run; by default 1,000, and at most 10,000 to find a planted fault.
    #[arg(long, default_value_t = 1_000, default_value_if("plant", ArgPredicate::IsPresent, "10000"))]
    pub seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    pub start: u64,
    /// Run this seed alone.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Sizes of cluster, from 1 to 7: one number, or two with a dash between.
    #[arg(long, default_value = "1-7", value_parser = parse_sizes)]
    pub nodes: Sizes,
    /// Print the figures as JSON.
    #[arg(long)]
    pub json: bool,
    /// Print one line for each event of the one seed.
    #[arg(long, requires = "seed")]
    pub trace: bool,
    /// Seeds to run at a time; by default one for each processor.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Run every seed twice, and fail if the two differ.
    #[arg(long)]
    pub check_determinism: bool,
    /// Stop at the first violation.
    #[arg(long)]
    pub stop_early: bool,
    /// Run the attack of this name on a cluster, or all of them one after another.
    #[arg(long)]
    pub attack: Option<String>,
    /// Put a known fault into a copy of the core, or all of them one after another, and see that it is found.
    #[arg(long)]
    pub plant: Option<String>,
    /// Folder of the workspace that the copy is made from.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))]
    pub workspace: PathBuf,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(name) = &arguments.plant {
        return plant::main(name, &arguments);
    }
    if let Some(name) = &arguments.attack {
        return attack(name);
    }
    if let Some(seed) = arguments.seed
        && arguments.trace
    {
        return trace(seed, arguments.nodes);
    }
    let (start, seeds) = arguments.seed.map_or((arguments.start, arguments.seeds), |seed| (seed, 1));
    let threads = arguments.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let begun = Instant::now();
    let outcomes = batch(start, seeds, arguments.nodes, threads, arguments.stop_early);
    let report = Report::new(&outcomes, begun.elapsed().as_secs_f64());
    let mut same = true;
    if arguments.check_determinism {
        let again = batch(start, seeds, arguments.nodes, threads, arguments.stop_early);
        for (first, second) in outcomes.iter().zip(&again).filter(|(first, second)| first.hash != second.hash) {
            same = false;
            eprintln!("seed {}: trace {:016x}, then {:016x}", first.seed, first.hash, second.hash);
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&report).unwrap_or_default());
    } else {
        println!("{}", report.text());
    }
    for failure in &report.violations {
        eprintln!("seed {}: {}: {}", failure.seed, failure.invariant, failure.detail);
        eprintln!("    {}", replay_command(failure.seed, arguments.nodes));
    }
    if !report.lively {
        let slow = &report.slow_seeds;
        eprintln!(
            "{}: a leader within 10 election timeouts in less than 99.99 % of the seeds, not in {slow:?}",
            Invariant::LeaderMostlyInTime
        );
    }
    if report.violations.is_empty() && report.lively && same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The one command that replays a seed.
#[must_use]
pub fn replay_command(seed: u64, sizes: Sizes) -> String {
    let (low, high) = sizes;
    let nodes = if sizes == (1, 7) { String::new() } else { format!(" --nodes {low}-{high}") };
    format!("cargo run --release -p symphony-sim -- --seed {seed}{nodes} --trace")
}

/// Runs attacks and prints what those have achieved that have.
fn attack(name: &str) -> ExitCode {
    let attacks: Vec<_> = ATTACKS.iter().filter(|attack| name == "all" || attack.0 == name).collect();
    let mut code = if attacks.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    for (name, attack) in attacks {
        if let Err(achieved) = attack() {
            println!("{name}: {achieved}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn trace(seed: u64, sizes: Sizes) -> ExitCode {
    let outcome = run(seed, sizes, true);
    // A reader that has seen enough closes the pipe.
    let _ = write_trace(&outcome, sizes, &mut io::stdout().lock());
    if outcome.violation.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn write_trace(outcome: &Outcome, sizes: Sizes, output: &mut impl Write) -> io::Result<()> {
    writeln!(output, "{:#?}", Plan::draw(outcome.seed, sizes))?;
    outcome.lines.iter().try_for_each(|line| writeln!(output, "{line}"))?;
    writeln!(output, "trace {:016x}", outcome.hash)?;
    outcome.violation.iter().try_for_each(|violation| {
        writeln!(output, "{} at {} us: {}", violation.invariant, violation.at_us, violation.detail)
    })
}

/// Reads sizes of cluster as the command line takes them: one number, or two with a dash between.
///
/// # Errors
/// Why the text is none.
pub fn parse_sizes(text: &str) -> Result<Sizes, String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let parse = |part: &str| part.parse::<usize>().map_err(|error| error.to_string());
    let sizes = (parse(low)?, parse(high)?);
    if sizes.0 < 1 || sizes.1 > 7 || sizes.0 > sizes.1 {
        return Err("sizes are from 1 to 7".to_owned());
    }
    Ok(sizes)
}
