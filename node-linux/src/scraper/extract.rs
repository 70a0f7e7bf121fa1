//! From the text of a page to its items and links, without input or output.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use html5ever::{ParseOpts, driver, tendril::TendrilSink as _};
use scraper::{ElementRef, Html, HtmlTreeSink, Node, Selector};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use symphony_adapters::item::Item;
use url::Url;

use super::{address::normalize, decimal, money, plan::FieldPlan, plan::Plan};
use crate::config::FieldKind;

/// Longer texts are cut off, at this many bytes.
const TEXT_MAX: usize = 32 * 1024;

/// The parser's work grows with the square of the nesting: a page that takes longer than this is given up.
pub(super) const PARSE_TIME_MAX: Duration = Duration::from_secs(20);

/// Bytes parsed between two looks at the clock.
const CHUNK_SIZE: usize = 4096;

/// What a page holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct PageContent {
    pub(super) items: Vec<Item>,
    /// Links that match the pattern to follow, each once, in the order of the page.
    pub(super) links: Vec<Url>,
    /// Links to the next page.
    pub(super) next: Vec<Url>,
    /// Things that looked like items but lacked a required field or their key.
    pub(super) incomplete: u64,
}

/// Reads a page. `scraped_at_ms` is stamped on its items. None if parsing took longer than `parse_time_max`.
pub(super) fn extract(
    plan: &Plan,
    url: &Url,
    body: &str,
    scraped_at_ms: i64,
    parse_time_max: Duration,
) -> Option<PageContent> {
    let html = parse(body, parse_time_max)?;
    let base = base_of(&html, url);
    let mut content = PageContent {
        links: links(plan, &html, &base),
        next: plan.next.as_ref().map(|next| next_links(next, &html, &base)).unwrap_or_default(),
        ..PageContent::default()
    };
    if plan.items_on.as_ref().is_some_and(|pattern| !pattern.is_match(url.as_str())) {
        return Some(content);
    }
    let elements: Vec<ElementRef<'_>> = match &plan.item {
        Some(selector) => html.select(selector).collect(),
        None => vec![html.root_element()],
    };
    let page_title = page_title(&html);
    for (index, element) in elements.into_iter().enumerate() {
        let Some(fields) = read_fields(plan, element, &base) else {
            content.incomplete += 1;
            continue;
        };
        // Without a key, several items on one page are told apart by their order.
        let key = match &plan.key {
            Some(name) => fields.get(name).map(as_text).unwrap_or_default(),
            None if index == 0 => url.to_string(),
            None => format!("{url} {}", index + 1),
        };
        if key.is_empty() {
            content.incomplete += 1;
            continue;
        }
        let title = match &plan.title {
            Some(name) => fields.get(name).map(as_text).unwrap_or_default(),
            None => page_title.clone(),
        };
        content.items.push(Item {
            id: item_id(&plan.name, &key),
            site: plan.name.clone(),
            url: url.to_string(),
            title: if title.is_empty() { key } else { title },
            fields,
            scraped_at_ms,
        });
    }
    Some(content)
}

/// Identity of an item: the same site and key always give the same.
pub(super) fn item_id(site: &str, key: &str) -> String {
    digest(&(site, key))
}

/// 32 hexadecimal digits that stand for a value.
pub(super) fn digest<T: Serialize>(value: &T) -> String {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let mut digest = hex::encode(Sha256::digest(bytes));
    digest.truncate(32);
    digest
}

/// A field's value as a person would write it.
pub(super) fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(money) => {
            let part = |name: &str| money.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{} {}", part("amount"), part("currency"))
        }
        other => other.to_string(),
    }
}

fn parse(body: &str, time_max: Duration) -> Option<Html> {
    let deadline = Instant::now() + time_max;
    let mut parser = driver::parse_document(HtmlTreeSink::new(Html::new_document()), ParseOpts::default());
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.floor_char_boundary(CHUNK_SIZE));
        parser.process(chunk.into());
        rest = after;
        if Instant::now() > deadline {
            return None;
        }
    }
    Some(parser.finish())
}

/// None if a required field is missing.
fn read_fields(plan: &Plan, element: ElementRef<'_>, base: &Url) -> Option<BTreeMap<String, Value>> {
    let mut fields = BTreeMap::new();
    for field in &plan.fields {
        match read_field(field, element, base) {
            Some(value) => {
                fields.insert(field.name.clone(), value);
            }
            None if field.required => return None,
            None => {}
        }
    }
    Some(fields)
}

/// The first match that has a value.
fn read_field(field: &FieldPlan, element: ElementRef<'_>, base: &Url) -> Option<Value> {
    match &field.selector {
        Some(selector) => element.select(selector).find_map(|element| read_value(field, element, base)),
        None => read_value(field, element, base),
    }
}

fn read_value(field: &FieldPlan, element: ElementRef<'_>, base: &Url) -> Option<Value> {
    let raw = match &field.attribute {
        Some(attribute) => fold(element.attr(attribute)?),
        None if field.kind == FieldKind::Url => match element.attr("href").or_else(|| element.attr("src")) {
            Some(link) => fold(link),
            None => text_of(element),
        },
        None => text_of(element),
    };
    if raw.is_empty() {
        return None;
    }
    match field.kind {
        FieldKind::Text => Some(Value::String(raw)),
        FieldKind::Number => decimal::number(&raw),
        FieldKind::Money => money::money(&raw),
        FieldKind::Url => base.join(&raw).ok().map(|url| Value::String(url.into())),
    }
}

/// The address that relative links start from.
fn base_of(html: &Html, url: &Url) -> Url {
    let base = Selector::parse("base[href]").ok().and_then(|base| html.select(&base).next()?.attr("href"));
    base.and_then(|base| url.join(base.trim()).ok()).unwrap_or_else(|| url.clone())
}

fn page_title(html: &Html) -> String {
    let title = Selector::parse("title").ok().and_then(|title| html.select(&title).next().map(text_of));
    title.unwrap_or_default()
}

fn links(plan: &Plan, html: &Html, base: &Url) -> Vec<Url> {
    let (Some(follow), Ok(anchors)) = (&plan.follow, Selector::parse("a[href], area[href]")) else {
        return Vec::new();
    };
    let mut seen = HashSet::new();
    html.select(&anchors)
        .filter_map(|anchor| normalize(base, anchor.attr("href")?))
        .filter(|url| follow.is_match(url.as_str()) && seen.insert(url.clone()))
        .collect()
}

fn next_links(selector: &Selector, html: &Html, base: &Url) -> Vec<Url> {
    let mut seen = HashSet::new();
    html.select(selector)
        .filter_map(|element| normalize(base, element.attr("href")?))
        .filter(|url| seen.insert(url.clone()))
        .collect()
}

type NodeRef<'a> = <ElementRef<'a> as std::ops::Deref>::Target;

/// The text a reader sees, white space folded; blocks and line breaks part words, scripts and styles are left out.
fn text_of(element: ElementRef<'_>) -> String {
    let mut text = String::new();
    for node in element.descendants() {
        if is_block(node) || node.prev_sibling().is_some_and(is_block) {
            text.push(' ');
        }
        if let Node::Text(part) = node.value()
            && !node.parent().is_some_and(|parent| parent.id() != element.id() && is_hidden(parent))
        {
            text.push_str(part);
        }
        // White space still to be folded may take as much again.
        if text.len() > 4 * TEXT_MAX {
            break;
        }
    }
    fold(&text)
}

fn is_hidden(node: NodeRef<'_>) -> bool {
    node.value().as_element().is_some_and(|it| matches!(it.name(), "script" | "style" | "template" | "noscript"))
}

fn is_block(node: NodeRef<'_>) -> bool {
    node.value().as_element().is_some_and(|it| BLOCKS.contains(&it.name()))
}

const BLOCKS: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "br",
    "caption",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "legend",
    "li",
    "main",
    "nav",
    "ol",
    "option",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "ul",
];

/// White space folded, cut at [`TEXT_MAX`].
fn fold(text: &str) -> String {
    let mut folded = String::new();
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(word);
        if folded.len() > TEXT_MAX {
            folded.truncate(folded.floor_char_boundary(TEXT_MAX));
            break;
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Site;

    const PAGE: &str = r#"<!doctype html><title> The  page </title><base href="/shop/">
        <a href="p/1#top">1</a><a href="p/1">1 again</a><a href="/other">o</a><a href="mailto:p/">m</a>
        <a href="http://elsewhere.example/p/9">9</a><link rel=next href="?page=2"><a rel=next href="?page=2">next</a>
        <ul><li class=item id=a><b>Tea<br>pot</b><i>€ 1.234,50</i><img src="a.png"><script>var x = 1</script></li>
        <li class=item id=b><b>Mug</b><i>n/a</i><em>4,6 of 5</em></li>
        <li class=item><b>No key</b><i>£5</i></li><li class=item id=c><i>£6</i></li></ul>"#;

    fn read(toml: &str, url: &str, body: &str) -> PageContent {
        let site: Site = toml::from_str(&format!("name='s'\nstart=['{url}']\n{toml}")).unwrap();
        let plan = Plan::compile(&site).unwrap();
        extract(&plan, &Url::parse(url).unwrap(), body, 7, PARSE_TIME_MAX).unwrap()
    }

    fn urls(urls: &[Url]) -> Vec<&str> {
        urls.iter().map(Url::as_str).collect()
    }

    #[test]
    fn items_carry_typed_fields_and_what_lacks_a_required_one_is_counted() {
        let content = read(
            "item='.item'\nkey='id'\ntitle='name'\n[fields]\nid={attribute='id'}\nname={selector='b',required=true}\n\
             price={selector='i',type='money'}\nrating={selector='em',type='number'}\nimage={selector='img',type='url'}",
            "http://h.example/",
            PAGE,
        );
        assert_eq!(content.incomplete, 2);
        let [pot, mug] = content.items.as_slice() else { panic!("{content:?}") };
        assert_eq!(pot.title, "Tea pot");
        assert_eq!(pot.id, item_id("s", "a"));
        assert_eq!((pot.url.as_str(), pot.scraped_at_ms), ("http://h.example/", 7));
        assert_eq!(
            json!(pot.fields),
            json!({"id": "a", "name": "Tea pot", "price": {"amount": "1234.50", "currency": "EUR"},
                   "image": "http://h.example/shop/a.png"})
        );
        assert_eq!(json!(mug.fields), json!({"id": "b", "name": "Mug", "rating": 4.6}));
    }

    #[test]
    fn links_are_absolute_unique_and_match_the_pattern() {
        let content = read("follow='/p/'\nnext='[rel=next]'\n[fields]", "http://h.example/", PAGE);
        assert_eq!(urls(&content.links), ["http://h.example/shop/p/1", "http://elsewhere.example/p/9"]);
        assert_eq!(urls(&content.next), ["http://h.example/shop/?page=2"]);
        assert_eq!(urls(&read("[fields]", "http://h.example/", PAGE).links), Vec::<&str>::new());
    }

    #[test]
    fn a_whole_page_is_one_item_with_the_pages_title() {
        let content = read("[fields]\nscript={selector='script'}", "http://h.example/x", PAGE);
        assert_eq!(content.items.len(), 1);
        assert_eq!(content.items[0].title, "The page");
        assert_eq!(content.items[0].id, item_id("s", "http://h.example/x"));
        assert_eq!(content.items[0].fields["script"], "var x = 1");
        assert!(read("items_on='/y'\n[fields]", "http://h.example/x", PAGE).items.is_empty());
    }

    #[test]
    fn items_without_a_key_on_one_page_stay_apart() {
        let content = read("item='.item'\n[fields]", "http://h.example/x", PAGE);
        let ids: HashSet<_> = content.items.iter().map(|item| &item.id).collect();
        assert_eq!(ids.len(), 4);
    }

    #[test]
    fn no_page_makes_it_stumble() {
        let deep = "<div>".repeat(1_000);
        let long = format!("<title>{}</title>", "ä".repeat(100_000));
        for body in ["", "\0", "<", "<base href='::'>", "<a href=", "<svg><title>x", &deep, &long] {
            let content = read("follow='.'\n[fields]\nall={}", "http://h.example/x", body);
            assert_eq!(content.items.len(), 1);
            assert!(content.items[0].title.len() <= TEXT_MAX);
        }
    }

    #[test]
    fn a_page_nested_without_end_is_given_up_in_time() {
        assert!(parse(&"<div>".repeat(200_000), Duration::from_millis(200)).is_none());
        assert!(parse(&"é<p>".repeat(10_000), PARSE_TIME_MAX).is_some());
    }
}
