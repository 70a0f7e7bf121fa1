//! Where a value came from, shown the way compilers show it.

use std::{fmt, ops::Range, path::PathBuf, sync::Arc};

/// Who set a value.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// Nobody: the default.
    Default,
    /// The configuration file.
    File(Place),
    /// An environment variable, by its name.
    Variable(String),
    /// A flag of the command line, with the key if it is `--set`.
    Flag(String),
}

/// A stretch of the configuration file.
#[derive(Clone, Debug)]
pub(super) struct Place {
    source: Arc<Source>,
    /// Bytes; none: the file as a whole.
    span: Option<Range<usize>>,
    shown: Shown,
}

/// How much of the line of a place may be read by others.
#[derive(Clone, Copy, Debug)]
enum Shown {
    All,
    /// Nothing from this byte of the file on.
    UpTo(usize),
    Nothing,
}

/// A configuration file.
#[derive(Debug)]
pub(super) struct Source {
    /// As the user wrote it.
    pub(super) path: PathBuf,
    /// Its content.
    pub(super) text: String,
}

impl Origin {
    /// The origin without the part of the line that may hold a secret: the value from its first byte on.
    #[must_use]
    pub(super) fn hiding_value(self) -> Self {
        self.hiding(|_, span| span.start)
    }

    /// The origin of a key without the value that follows it on its line.
    #[must_use]
    pub(super) fn hiding_what_follows(self) -> Self {
        self.hiding(|text, span| {
            let equals = text.get(span.end..).and_then(|rest| rest.lines().next()).and_then(|rest| rest.find('='));
            // No value follows the name of a table in its header.
            equals.map_or(text.len(), |offset| span.end + offset + 1)
        })
    }

    /// `symphony.toml:3` or the name of the variable or flag, for lists.
    pub(super) fn brief(&self) -> String {
        match self {
            Self::File(place) => place.line_and_column().map_or_else(
                || place.source.path.display().to_string(),
                |(line, _)| format!("{}:{line}", place.source.path.display()),
            ),
            other => other.to_string().trim_start_matches([' ', '-', '>']).to_owned(),
        }
    }

    /// Orders problems: the file from its start, then variables and flags by name.
    pub(super) fn rank(&self) -> (u8, usize, &str) {
        match self {
            Self::File(place) => (0, place.start(), ""),
            Self::Variable(name) => (1, 0, name),
            Self::Flag(name) => (2, 0, name),
            Self::Default => (3, 0, ""),
        }
    }

    fn hiding(self, from: impl Fn(&str, &Range<usize>) -> usize) -> Self {
        match self {
            Self::File(mut place) => {
                place.shown =
                    place.span.as_ref().map_or(Shown::Nothing, |span| Shown::UpTo(from(&place.source.text, span)));
                Self::File(place)
            }
            other => other,
        }
    }
}

impl Place {
    /// `span` of `source`, in bytes.
    pub(super) fn new(source: &Arc<Source>, span: Option<Range<usize>>) -> Self {
        Self { source: Arc::clone(source), span, shown: Shown::All }
    }

    /// The place without its line.
    #[must_use]
    pub(super) fn hiding_line(self) -> Self {
        Self { shown: Shown::Nothing, ..self }
    }

    /// The line it begins on.
    pub(super) fn line(&self) -> &str {
        let rest = self.source.text.get(self.line_start()..).unwrap_or_default();
        rest.lines().next().unwrap_or_default()
    }

    /// The lines above.
    pub(super) fn lines_before(&self) -> std::str::Lines<'_> {
        self.source.text.get(..self.line_start()).unwrap_or_default().lines()
    }

    /// Byte at which it begins.
    fn start(&self) -> usize {
        self.span.as_ref().map_or(0, |span| span.start)
    }

    /// Byte at which its line begins.
    fn line_start(&self) -> usize {
        let before = self.source.text.get(..self.start()).unwrap_or(&self.source.text);
        before.rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// Both from 1; columns count characters.
    fn line_and_column(&self) -> Option<(usize, usize)> {
        self.span.as_ref()?;
        let before = self.source.text.get(self.line_start()..self.start()).unwrap_or_default();
        Some((self.lines_before().count() + 1, before.chars().count() + 1))
    }

    /// The line with the place underlined.
    fn snippet(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(span), Some((line, column))) = (&self.span, self.line_and_column()) else { return Ok(()) };
        let line_start = self.line_start();
        let full = self.line();
        let shown = match self.shown {
            Shown::All => full,
            Shown::UpTo(end) => full.get(..end.saturating_sub(line_start).min(full.len())).unwrap_or_default(),
            Shown::Nothing => return Ok(()),
        };
        let ellipsis = match shown {
            _ if shown.len() == full.len() => "",
            _ if shown.ends_with('=') => " …",
            _ => "…",
        };
        let end = (span.end - line_start).min(shown.len());
        let marked = shown.get(span.start - line_start..end).map_or(1, |text| text.chars().count().max(1));
        // What is not text in the file must not act on the terminal.
        let shown = shown.replace(|c: char| c.is_control() && c != '\t', "\u{fffd}");
        // Tabs stay tabs, so that the mark stands under what it marks.
        let indent: String = shown.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let gutter = " ".repeat(line.to_string().len());
        write!(f, "\n{gutter} |\n{line} | {shown}{ellipsis}\n{gutter} | {indent}{}", "^".repeat(marked))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str(" --> default value"),
            Self::Variable(name) => write!(f, " --> environment variable {name}"),
            Self::Flag(name) => write!(f, " --> flag {name}"),
            Self::File(place) => {
                write!(f, " --> {}", place.source.path.display())?;
                if let Some((line, column)) = place.line_and_column() {
                    write!(f, ":{line}:{column}")?;
                }
                place.snippet(f)
            }
        }
    }
}
