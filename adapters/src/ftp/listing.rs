//! What a server's listing says, line by line.

use std::time::{SystemTime, UNIX_EPOCH};

use suppaftp::list::{File, ListParser};
use tracing::warn;

use super::name;

/// A file as a listing has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Judged by [`name::fault`].
    pub(super) name: String,
    /// Bytes, if said.
    pub(super) size: Option<u64>,
    /// Milliseconds since the Unix epoch, if said.
    pub(super) modified_at_ms: Option<i64>,
}

/// The files of an MLSD listing (RFC 3659, section 7).
pub(super) fn mlsd(text: &str) -> Vec<Entry> {
    lines(text).filter_map(|line| entry(line, &ListParser::parse_mlsd(line).ok()?)).collect()
}

/// The files of a LIST listing, in the form of `ls -l` or of DOS. No standard describes it; unreadable lines, such as
/// the sum at the top, are left out.
pub(super) fn list(text: &str) -> Vec<Entry> {
    lines(text)
        .filter_map(|line| {
            let file = ListParser::parse_posix(line).or_else(|_| ListParser::parse_dos(line)).ok()?;
            entry(line, &file)
        })
        .collect()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).filter(|line| !line.is_empty())
}

fn entry(line: &str, file: &File) -> Option<Entry> {
    let name = file.name();
    if !file.is_file() || name::is_hidden(name) {
        return None;
    }
    if let Some(reason) = name::fault(name) {
        warn!(?line, reason, "left a file out of the FTP listing");
        return None;
    }
    // The parser fills in what the line leaves out: no size is 0 and no time is the epoch.
    let size = u64::try_from(file.size()).ok().filter(|size| *size > 0);
    let modified_at_ms = milliseconds(file.modified()).filter(|at| *at > 0);
    Some(Entry { name: name.to_owned(), size, modified_at_ms })
}

fn milliseconds(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    #[test]
    fn mlsd_gives_name_size_and_time() {
        let text = "type=file;size=12;modify=20261123180500; spaced; name.csv\r\n";
        let expected =
            Entry { name: "spaced; name.csv".to_owned(), size: Some(12), modified_at_ms: Some(1_795_457_100_000) };
        assert_eq!(mlsd(text), [expected]);
    }

    #[test]
    fn mlsd_says_what_it_does_not_know() {
        let expected = Entry { name: "a".to_owned(), size: None, modified_at_ms: None };
        assert_eq!(mlsd("type=file; a\r\n"), [expected]);
    }

    #[test]
    fn list_reads_what_vsftpd_writes() {
        let text = "total 8\r\n-rw-r--r--    1 0        0               5 Nov 23  2025 x y\r\n\
                    drwxr-xr-x    2 0        0            4096 Nov 23 18:17 folder\r\n\
                    lrwxrwxrwx    1 0        0               1 Nov 23 18:17 link -> x\r\n";
        let entries = list(text);
        assert_eq!(names(&entries), ["x y"]);
        assert_eq!(entries[0].size, Some(5));
        assert_eq!(entries[0].modified_at_ms, Some(1_763_856_000_000));
    }

    #[test]
    fn folders_hidden_and_unfinished_files_are_left_out() {
        let text = "type=cdir; .\r\ntype=pdir; ..\r\ntype=dir; sub\r\ntype=OS.unix=slink:/x; link\r\n\
                    type=file;size=1; .hidden\r\ntype=file;size=1; .a.part\r\ntype=file;size=1; b.part\r\n\
                    type=file;size=1; kept\r\n";
        assert_eq!(names(&mlsd(text)), ["kept"]);
    }

    #[test]
    fn hostile_names_are_left_out() {
        let long = "x".repeat(256);
        let text = format!(
            "type=file;size=1; ../../etc/passwd\r\ntype=file;size=1; /abs\r\ntype=file;size=1; a\\b\r\n\
             type=file;size=1; a\u{1}b\r\ntype=file;size=1; a\rb\r\ntype=file;size=1; \r\n\
             type=file;size=1; {long}\r\ntype=file;size=1; \u{fffd}\r\ntype=file;size=1; good\r\n"
        );
        assert_eq!(names(&mlsd(&text)), ["good"]);
    }

    proptest! {
        #[test]
        fn any_listing_yields_only_names_without_fault(text in any::<String>(), name in any::<String>()) {
            let line = format!("type=file;size=1;modify=20261123180500; {name}\r\n{text}");
            let posix = format!("-rw-r--r-- 1 0 0 5 Nov 23 2025 {name}\r\n{text}");
            for entry in mlsd(&line).into_iter().chain(list(&posix)).chain(list(&text)).chain(mlsd(&text)) {
                prop_assert_eq!(name::fault(&entry.name), None);
                prop_assert!(!name::is_hidden(&entry.name));
            }
        }
    }
}
