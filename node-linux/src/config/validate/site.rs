//! A site to scrape: URLs, patterns, selectors.

use regex::Regex;
use scraper::Selector;

use super::{super::section::Site, Check, Path, text};

pub(super) fn check(check: &mut Check<'_>, site: &Site, path: &Path) {
    // The name becomes part of file names.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fits = !site.name.is_empty() && !site.name.starts_with('.') && site.name.chars().all(plain);
    let message = format!("expected letters, digits, '.', '_' and '-', not '.' first; found {:?}", site.name);
    check.require(fits, &path.key("name"), message);

    let start = path.key("start");
    check.require(!site.start.is_empty(), &start, "must name a page to begin with");
    for (index, url) in site.start.iter().enumerate() {
        check.accept(text::page_url(url).map(|_| ()), &start.index(index));
    }
    check.require(site.pages_max > 0, &path.key("pages_max"), "must be above 0");
    check.require(site.concurrency > 0, &path.key("concurrency"), "must be above 0");

    for (key, value) in [("follow", &site.follow), ("items_on", &site.items_on)] {
        check.accept(value.as_deref().map_or(Ok(()), pattern), &path.key(key));
    }
    for (key, value) in [("next", &site.next), ("item", &site.item)] {
        check.accept(value.as_deref().map_or(Ok(()), selector), &path.key(key));
    }
    for (name, field) in &site.fields {
        let path = path.key("fields").key(name);
        check.accept(field.selector.as_deref().map_or(Ok(()), selector), &path.key("selector"));
        let attribute = field.attribute.as_ref().is_none_or(|attribute| !attribute.is_empty());
        check.require(attribute, &path.key("attribute"), "must not be empty");
    }
    for (key, value) in [("key", &site.key), ("title", &site.title)] {
        let Some(name) = value else { continue };
        let known: Vec<_> = site.fields.keys().map(String::as_str).collect();
        let message = format!("{name:?} is not one of the fields ({})", known.join(", "));
        check.require(site.fields.contains_key(name), &path.key(key), message);
    }
}

fn pattern(text: &str) -> Result<(), String> {
    Regex::new(text).map(|_| ()).map_err(|error| format!("not a regular expression: {}", reason(&error)))
}

fn selector(text: &str) -> Result<(), String> {
    Selector::parse(text).map(|_| ()).map_err(|error| format!("not a CSS selector: {}", reason(&error)))
}

/// Both parsers take several lines for some errors; the last says what is wrong.
fn reason(error: &dyn std::error::Error) -> String {
    let error = error.to_string();
    error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
