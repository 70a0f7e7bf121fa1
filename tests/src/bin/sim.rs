//! `sim`: see `symphony_tests::sim`.

use std::process::ExitCode;

fn main() -> ExitCode {
    symphony_tests::sim::cli::main()
}
