//! From the command line to the role.

use std::{error::Error, io};

use thiserror::Error;

use crate::{
    cli::RoleCommand,
    config::{Config, Role},
    shutdown::Shutdown,
};

/// Why a role ended before it was asked to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The role is not part of this program.
    #[error("the role `{0}` is not built in")]
    NotBuiltIn(Role),
    /// The operating system refused something that every role needs.
    #[error("the operating system refused")]
    System(#[from] io::Error),
    /// The role's own reason.
    #[error(transparent)]
    Failed(#[from] Box<dyn Error + Send + Sync>),
}

/// Plays the role until `shutdown` is requested and its work in flight is done.
///
/// # Errors
/// Why the role could not start or go on.
pub(crate) async fn run(command: &RoleCommand, config: Config, shutdown: Shutdown) -> Result<(), RunError> {
    drop((config, shutdown));
    Err(RunError::NotBuiltIn(command.role()))
}
