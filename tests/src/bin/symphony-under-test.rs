//! The very program `symphony`, linked here, so that tests which start processes never run a stale build of it.

fn main() -> std::process::ExitCode {
    symphony::main()
}
