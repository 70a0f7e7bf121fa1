//! `symphony cert` on the command line.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use clap::Subcommand;

use super::{CertName, make};

#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// Make a private authority and certificates of it, for a cluster of your own; never overwrites anything
    Dev {
        /// Folder of the files; an authority (ca.pem, ca.key) that is there is used
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Make NAME.pem and NAME.key, for this name, its aliases and this machine itself; once for each
        /// [default: localhost]
        #[arg(long, value_name = "NAME[,ALIAS…]", value_parser = CertName::parse)]
        name: Vec<CertName>,
    },
}

pub(crate) fn run(command: &CertCommand) -> ExitCode {
    let CertCommand::Dev { out, name } = command;
    let localhost = || vec![CertName { name: "localhost".into(), aliases: Vec::new() }];
    let names = if name.is_empty() { localhost() } else { name.clone() };
    match make(out, &names) {
        Ok(done) => {
            let mut text = String::new();
            for made in &done {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{made}");
            }
            let out = out.display();
            let _ = writeln!(
                text,
                "Every process: tls.ca = {out}/{}.pem; one that serves NAME, too: tls.certificate = {out}/NAME.pem, tls.key = {out}/NAME.key. Keep {out}/ca.key from everybody.",
                super::CA
            );
            crate::print(&text)
        }
        Err(error) => {
            crate::complain(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
