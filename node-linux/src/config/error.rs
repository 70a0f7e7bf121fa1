//! What is wrong with a configuration.

use std::fmt;

use super::{origin::Origin, path::Path};

/// Everything that is wrong with a configuration, each with the key and the place it was set.
#[derive(Debug)]
pub struct ConfigError(Vec<Problem>);

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// Key, as far as there is one.
    pub(super) path: Path,
    /// What is wrong, without key and place; holds no secret.
    pub(super) message: String,
    /// Who set it.
    pub(super) origin: Origin,
}

impl ConfigError {
    /// All `problems` together, in the order of the file first; `Ok` if there are none.
    pub(super) fn check(mut problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by(|a, b| a.origin.rank().cmp(&b.origin.rank()));
        Err(Self(problems))
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error: ")?;
        if !self.path.segments().is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}\n{}", self.message, self.origin)
    }
}
