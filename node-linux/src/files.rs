//! `symphony files`: files that were given up, each with its reason.

use std::{fmt::Write as _, process::ExitCode};

use symphony_adapters::{
    database::DeadFile,
    http::api::{DeadFiles, Retried},
};

use crate::{
    cli::FilesCommand,
    config::Sources,
    inquiry::{self, how_many, moment, one_line, say},
};

pub(crate) fn run(command: &FilesCommand, sources: &Sources) -> ExitCode {
    let json = command.manager().json;
    inquiry::run(command.manager(), sources, async |client, url| {
        Ok(match command {
            FilesCommand::Ls { limit, .. } => say(json, &client.dead_files(url, *limit).await?, list),
            FilesCommand::Retry { path, .. } => say(json, &client.retry_files(url, path.as_deref()).await?, retried),
        })
    })
}

fn list(DeadFiles { total, files }: &DeadFiles) -> String {
    let mut text = String::new();
    for DeadFile { file, reason, given_up_at_ms } in files {
        let (at, path, reason) = (moment(*given_up_at_ms), one_line(&file.path), one_line(reason));
        // Writing to a string does not fail.
        let _ = writeln!(text, "{at}  {path}  {} bytes: {reason}", file.size);
    }
    text + &how_many(*total, files.len(), "dead files")
}

fn retried(Retried { retried }: &Retried) -> String {
    format!("{retried} to be fetched again\n")
}

#[cfg(test)]
mod tests {
    use symphony_adapters::database::FileState;

    use super::*;

    #[test]
    fn a_list_has_a_line_for_each_file_and_says_what_it_leaves_out() {
        let file = DeadFile {
            file: FileState { path: "/out/a\n.csv".into(), size: 7, modified_at_ms: 0 },
            reason: "422: bad\npath".into(),
            given_up_at_ms: 1_795_472_163_776,
        };
        assert_eq!(
            list(&DeadFiles { total: 5, files: vec![file] }),
            "2026-11-23T22:16:03.776Z  /out/a\u{fffd}.csv  7 bytes: 422: bad\u{fffd}path\n1 of 5 dead files\n"
        );
        assert_eq!(list(&DeadFiles { total: 0, files: Vec::new() }), "no dead files\n");
    }
}
