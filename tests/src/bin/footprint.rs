//! Measures what the core takes of a board.

use std::{error::Error, fs, path::PathBuf, process::ExitCode};

use clap::Parser;
use symphony_tests::footprint::{Table, measure};

/// Measures what the core takes of a board: text, data and bss, RAM, stack and instructions.
///
/// Fails if a function is linked into the core that panics or allocates, or if the README says otherwise; says which goals
/// are missed. Needs a toolchain for Cortex-M (see node-mcu/build), qemu-system-arm and binutils-arm-none-eabi.
#[derive(Parser)]
struct Arguments {
    /// One JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// The rows of the README's table instead.
    #[arg(long, conflicts_with = "json")]
    readme: bool,
    /// A README whose table must agree.
    #[arg(long, value_name = "README")]
    check: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let report = measure()?;
    let table = Table::of(&report);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else if arguments.readme {
        print!("{table}");
    } else {
        print!("{report}");
    }
    if let Some(readme) = &arguments.check {
        table.check(&fs::read_to_string(readme)?)?;
    }
    report.check()
}
