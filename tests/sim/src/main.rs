//! The simulator's program: see [`symphony_sim::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    symphony_sim::cli::main()
}
