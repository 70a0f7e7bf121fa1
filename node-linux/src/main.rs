//! The `symphony` program.

fn main() -> std::process::ExitCode {
    symphony::main()
}
