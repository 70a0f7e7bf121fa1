//! `sim`: `cargo run --release -p symphony-sim` is the same, and builds no adapters.

use std::process::ExitCode;

fn main() -> ExitCode {
    symphony_sim::cli::main()
}
