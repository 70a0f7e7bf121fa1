//! Tests the tester: known faults are put into a copy of the core, and the simulator must find each of them.
//!
//! The copy is made under the target folder and built there together with this simulator. The core itself holds no
//! switch for any fault.

mod build;
mod secure;
mod table;

use std::process::ExitCode;

pub use secure::SECURE;
pub use table::{ELECTION, Plant, Substitution};

use crate::cli::Arguments;

/// All known faults.
pub fn plants() -> impl Iterator<Item = &'static Plant> {
    ELECTION.iter().chain(SECURE)
}

/// Plants one fault by name, or all, and prints what was found: fails unless every fault is.
pub(super) fn main(name: &str, arguments: &Arguments) -> ExitCode {
    let chosen: Vec<_> = plants().filter(|plant| name == "all" || plant.name == name).collect();
    if chosen.is_empty() {
        eprintln!("no such plant; there are:");
        plants().for_each(|plant| eprintln!("  {:<28} {}", plant.name, plant.breaks));
        return ExitCode::FAILURE;
    }
    if !arguments.json {
        println!("{:<28} {:>6}  {:<22} {:>8}  {:>8}", "plant", "seed", "invariant", "run s", "build s");
    }
    let mut all_found = true;
    for plant in chosen {
        match build::find(plant, arguments) {
            Ok(found) => {
                all_found &= found.is_found();
                println!("{}", if arguments.json { found.json() } else { found.line() });
            }
            Err(error) => {
                all_found = false;
                eprintln!("{}: {error}", plant.name);
            }
        }
    }
    if all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
