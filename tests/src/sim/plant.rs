use std::process::ExitCode;
use super::cli::Arguments;
pub fn main(_: &str, _: &Arguments) -> ExitCode { ExitCode::FAILURE }
