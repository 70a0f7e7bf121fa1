//! `symphony key`: makes, changes and shows the file of the cluster's keys.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;

use super::{KeyFile, KeyFileError, Stage, Step, generate, rotate};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Write a file with a new key, for a new cluster; never overwrites one
    Gen {
        /// The file; its folder is made
        file: PathBuf,
    },
    /// Print the keys' numbers and fingerprints, never the keys, and the next step
    Show {
        /// The file
        file: PathBuf,
    },
    /// Change the cluster's key in three steps, each on one member's file, which is then copied to all the others
    Rotate {
        /// Which step.
        #[command(subcommand)]
        step: RotateCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RotateCommand {
    /// First: let members receive with a new key, too
    Add {
        /// The file
        file: PathBuf,
        /// Take the new key from this file of another member instead of making one
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Second, when all members have the new key: let them send with it
    Switch {
        /// The file
        file: PathBuf,
    },
    /// Third, when all members send with the new key: take the old one away
    Drop {
        /// The file
        file: PathBuf,
    },
}

pub(crate) fn run(command: &KeyCommand) -> ExitCode {
    let (file, done) = match command {
        KeyCommand::Gen { file } => (file, generate(file)),
        KeyCommand::Show { file } => (file, Ok(())),
        KeyCommand::Rotate { step: RotateCommand::Add { file, from } } => {
            (file, rotate(file, &Step::Add { from: from.clone() }))
        }
        KeyCommand::Rotate { step: RotateCommand::Switch { file } } => (file, rotate(file, &Step::Switch)),
        KeyCommand::Rotate { step: RotateCommand::Drop { file } } => (file, rotate(file, &Step::Drop)),
    };
    match done.and_then(|()| report(file, command)) {
        Ok(text) => crate::print(&text),
        Err(error) => {
            crate::complain(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// What the file holds, and what to do next.
fn report(path: &Path, command: &KeyCommand) -> Result<String, KeyFileError> {
    let file = KeyFile::read(path)?;
    let name = path.display();
    let keys = format!("{name}: a member with this file {file}\n");
    let copy = format!(
        "Copy {name} to every member (mode 600), and have each read it: kill -HUP its process. Its log shows these keys.\n"
    );
    let next = match (command, file.stage()) {
        (KeyCommand::Gen { .. }, _) => {
            format!(
                "Copy {name} to every member (mode 600), where `node.keys` says, and keep it from everybody else.\n"
            )
        }
        (_, Stage::Added) => format!("{copy}When all have: symphony key rotate switch {name}\n"),
        (_, Stage::Switched) => format!("{copy}When all have: symphony key rotate drop {name}\n"),
        (KeyCommand::Rotate { .. }, Stage::Settled) => format!("{copy}Then the key is changed.\n"),
        (KeyCommand::Show { .. }, Stage::Settled) => format!("To change the key: symphony key rotate add {name}\n"),
    };
    Ok(keys + &next)
}
