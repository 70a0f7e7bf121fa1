//! Configuration: one TOML file, overridden by the environment, overridden by flags.

mod duration;
pub mod section;

pub use section::*;
