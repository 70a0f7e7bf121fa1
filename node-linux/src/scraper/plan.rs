//! A site's configuration, checked and compiled.

use regex::Regex;
use scraper::Selector;
use sha2::{Digest, Sha256};
use url::Url;

use super::{ScrapeError, address::normalize};
use crate::config::{Field, FieldKind, Site};

/// Raised when pages are read differently than before, so that what was read then is read again.
const READING: u32 = 1;

/// How to find pages, items and fields on a site.
pub(super) struct Plan {
    pub(super) name: String,
    /// The site's name as a file name.
    pub(super) slug: String,
    pub(super) start: Vec<Url>,
    pub(super) follow: Option<Regex>,
    /// Whether `follow` may lead to other origins: only a pattern that names a scheme (`://`) does.
    pub(super) follow_leaves_home: bool,
    pub(super) next: Option<Selector>,
    pub(super) item: Option<Selector>,
    pub(super) items_on: Option<Regex>,
    pub(super) key: Option<String>,
    pub(super) title: Option<String>,
    pub(super) fields: Vec<FieldPlan>,
    /// Changes when the same page would be read differently.
    pub(super) fingerprint: String,
}

/// How to find one field of an item.
pub(super) struct FieldPlan {
    pub(super) name: String,
    pub(super) selector: Option<Selector>,
    pub(super) attribute: Option<String>,
    pub(super) kind: FieldKind,
    pub(super) required: bool,
}

impl Plan {
    /// Checks and compiles a site's configuration.
    ///
    /// # Errors
    /// [`ScrapeError::Configuration`], naming the site and the key.
    pub(super) fn compile(site: &Site) -> Result<Self, ScrapeError> {
        let wrong = |reason: String| ScrapeError::Configuration { site: site.name.clone(), reason };
        let regex = |key: &str, pattern: &Option<String>| {
            let compile = |pattern: &String| Regex::new(pattern).map_err(|error| wrong(format!("{key}: {error}")));
            pattern.as_ref().map(compile).transpose()
        };
        let selector = |key: &str, selector: &Option<String>| {
            let compile = |selector: &String| {
                Selector::parse(selector).map_err(|error| wrong(format!("{key}: {selector:?}: {error}")))
            };
            selector.as_ref().map(compile).transpose()
        };
        if site.start.is_empty() {
            return Err(wrong("start: no URL to start from".to_owned()));
        }
        let start = site
            .start
            .iter()
            .map(|start| {
                let url = Url::parse(start).map_err(|error| wrong(format!("start: {start:?}: {error}")))?;
                normalize(&url, start).ok_or_else(|| wrong(format!("start: {start:?} is not an HTTP URL")))
            })
            .collect::<Result<_, _>>()?;
        for (role, name) in [("key", &site.key), ("title", &site.title)] {
            if let Some(name) = name.as_ref().filter(|name| !site.fields.contains_key(*name)) {
                return Err(wrong(format!("{role}: there is no field {name:?}")));
            }
        }
        let compile_field = |(name, field): (&String, &Field)| {
            Ok(FieldPlan {
                name: name.clone(),
                selector: selector(&format!("fields.{name}.selector"), &field.selector)?,
                attribute: field.attribute.clone(),
                kind: field.kind,
                required: field.required,
            })
        };
        Ok(Self {
            name: site.name.clone(),
            slug: slug(&site.name).ok_or_else(|| wrong("name: needs a letter or a digit".to_owned()))?,
            start,
            follow: regex("follow", &site.follow)?,
            follow_leaves_home: site.follow.as_ref().is_some_and(|pattern| pattern.contains("://")),
            next: selector("next", &site.next)?,
            item: selector("item", &site.item)?,
            items_on: regex("items_on", &site.items_on)?,
            key: site.key.clone(),
            title: site.title.clone(),
            fields: site.fields.iter().map(compile_field).collect::<Result<_, ScrapeError>>()?,
            fingerprint: fingerprint(site),
        })
    }
}

fn fingerprint(site: &Site) -> String {
    let parts =
        (&site.name, &site.follow, &site.next, &site.item, &site.items_on, &site.key, &site.title, &site.fields);
    hex::encode(Sha256::digest(format!("{READING} {parts:?}")))
}

fn slug(name: &str) -> Option<String> {
    let slug: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    let slug = slug.trim_matches('-').to_lowercase();
    (!slug.is_empty() && slug.len() <= 64).then_some(slug)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(toml: &str) -> Result<Plan, String> {
        Plan::compile(&toml::from_str::<Site>(toml).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_mistake_is_reported_with_site_and_key() {
        let cases = [
            ("name='x'\nstart=[]\nfields={}", "start: no URL"),
            ("name='x'\nstart=['ftp://a/']\nfields={}", "is not an HTTP URL"),
            ("name='x'\nstart=['nowhere']\nfields={}", "start: \"nowhere\""),
            ("name='x'\nstart=['http://a/']\nfollow='('\nfields={}", "follow: "),
            ("name='x'\nstart=['http://a/']\nnext='[['\nfields={}", "next: \"[[\""),
            ("name='x'\nstart=['http://a/']\nkey='sku'\nfields={}", "key: there is no field \"sku\""),
            ("name='x'\nstart=['http://a/']\nfields={price={selector='..'}}", "fields.price.selector: \"..\""),
            ("name='--'\nstart=['http://a/']\nfields={}", "name: "),
        ];
        for (toml, expected) in cases {
            let error = compile(toml).err().unwrap_or_default();
            assert!(error.contains(expected), "{error:?} for {toml}");
        }
    }

    #[test]
    fn the_fingerprint_changes_with_what_is_read_only() {
        let base = "name='x'\nstart=['http://a/']\nfields={a={}}";
        let of = |toml: &str| compile(toml).map(|plan| plan.fingerprint).unwrap();
        assert_eq!(of(base), of(&format!("{base}\npages_max=5\ndelay='1s'")));
        assert_ne!(of(base), of("name='x'\nstart=['http://a/']\nfields={a={type='number'}}"));
    }
}
