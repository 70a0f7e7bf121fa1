//! Names and paths, judged before they are trusted.

use super::FtpError;

/// Bytes in a name at most, as on every common file system.
const NAME_LEN_MAX: usize = 255;

/// What is wrong with `name` as the name of a file in a folder, if anything.
pub(super) fn fault(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("it is empty"),
        "." | ".." => Some("it is a folder's own or parent's name"),
        _ if name.len() > NAME_LEN_MAX => Some("it is longer than 255 bytes"),
        _ if name.contains(['/', '\\']) => Some("it has a path separator"),
        _ if name.chars().any(char::is_control) => Some("it has a control character"),
        _ if name.contains(char::REPLACEMENT_CHARACTER) => Some("it is not UTF-8"),
        _ => None,
    }
}

/// Whether `name` is none of a reader's business: hidden, or an upload that is not finished.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name.ends_with(".part")
}

/// The name under which `name` grows until it is complete.
///
/// # Errors
/// [`FtpError::Name`] for a name that no reader would ever fetch.
pub(super) fn part(name: &str) -> Result<String, FtpError> {
    let refused = |reason| FtpError::Name { name: name.to_owned(), reason };
    if let Some(reason) = fault(name) {
        return Err(refused(reason));
    }
    if is_hidden(name) {
        return Err(refused("hidden and .part files are never fetched"));
    }
    let part = format!(".{name}.part");
    if part.len() > NAME_LEN_MAX { Err(refused("it is longer than 249 bytes")) } else { Ok(part) }
}

/// Joins an absolute folder and a name.
pub(super) fn join(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_end_matches('/'))
}

/// Makes a configured folder absolute and plain: below `home` unless it starts with `/`.
///
/// # Errors
/// [`FtpError::Name`] for a folder with `..` or control characters in it.
pub(super) fn absolute(home: &str, folder: &str) -> Result<String, FtpError> {
    let whole = if folder.starts_with('/') { folder.to_owned() } else { join(home, folder) };
    let mut path = String::with_capacity(whole.len());
    for part in whole.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if let Some(reason) = fault(part) {
            return Err(FtpError::Name { name: folder.to_owned(), reason });
        }
        path.push('/');
        path.push_str(part);
    }
    if path.is_empty() {
        path.push('/');
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_faulty() {
        for name in ["", ".", "..", "a/b", "/etc/passwd", "a\\b", "a\nb", "a\0b", "a\u{7f}b", "\u{fffd}"] {
            assert!(fault(name).is_some(), "{name:?}");
        }
        assert!(fault(&"x".repeat(256)).is_some());
    }

    #[test]
    fn ordinary_names_are_not() {
        for name in ["items.csv", "späte Lieferung (2).json", "a..b", "-rf", &"x".repeat(255)] {
            assert_eq!(fault(name), None, "{name:?}");
        }
    }

    #[test]
    fn an_upload_grows_under_a_name_that_listings_leave_out() {
        let part = part("items.csv").unwrap();
        assert_eq!(part, ".items.csv.part");
        assert!(is_hidden(&part));
    }

    #[test]
    fn names_nobody_would_fetch_are_not_uploaded() {
        for name in [".hidden", "a.part", "../a", &"x".repeat(250)] {
            assert!(part(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn folders_become_absolute() {
        let cases = [("/", "/"), ("", "/home"), ("out", "/home/out"), ("/out/", "/out"), ("/a//b/./c", "/a/b/c")];
        for (folder, path) in cases {
            assert_eq!(absolute("/home", folder).unwrap(), path, "{folder:?}");
        }
    }

    #[test]
    fn folders_never_climb() {
        assert!(absolute("/home", "../etc").is_err());
        assert!(absolute("/home", "/a/../b").is_err());
        assert!(absolute("/home", "a\r\nDELE b").is_err());
    }
}
