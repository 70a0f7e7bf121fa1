//! Configuration: one TOML file, overridden by the environment, overridden by flags.
//!
//! A key is set, from the strongest:
//! 1. by a flag: `--set node.id=2`, or one of the role's own flags;
//! 2. by a variable: `SYMPHONY_NODE__ID=2`; an empty variable sets nothing;
//! 3. in the file: `id = 2` under `[node]`;
//! 4. by nobody: the default.
//!
//! Text of a variable or flag becomes what its key wants: text as it is, everything else as in TOML. In each layer
//! `KEY_file` (`SYMPHONY_SECTION__KEY_FILE`) names a file that holds such a text.

mod deserialize;
mod duration;
mod environment;
mod error;
mod known;
mod load;
mod origin;
mod path;
mod role;
mod secret;
mod secret_file;
pub mod section;
#[cfg(test)]
mod tests;
mod tree;
mod validate;

pub use error::ConfigError;
pub use load::{Loaded, Setting, Sources};
pub use role::Role;
pub use secret::Secret;
pub use section::*;
