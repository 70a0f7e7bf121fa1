//! The list of items.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use symphony_adapters::database::{DatabaseError, ItemQuery, Page as Rows, StoredItem};
use url::form_urlencoded::Serializer;

use super::{
    Page,
    layout::{self, Frame, Section},
    time, value,
};
use crate::web::{WebState, items::without_blanks};

/// Fields shown below the title at most.
const FACTS_MAX: usize = 4;

/// The query of an address; what is not ours in it is none of our business.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PageQuery {
    search: Option<String>,
    site: Option<String>,
    field: Option<String>,
    value: Option<String>,
    cursor: Option<String>,
}

/// `GET /app/`.
pub(super) async fn page(State(web): State<WebState>, Query(query): Query<PageQuery>) -> Page {
    let frame = Frame::new(&web.leadership.current(), Section::Items);
    let PageQuery { search, site, field, value, cursor } = query;
    let query = without_blanks(ItemQuery { search, site, field, value, cursor, limit: None });
    match load(&web, &query).await {
        Ok(list) => Page::ok(layout::page(&frame, "Items", &render(&query, &list, time::now_ms()))),
        Err(error) => Page::database_error(&frame, &error),
    }
}

/// What the page shows.
struct List {
    rows: Rows<StoredItem>,
    sites: Vec<String>,
    total: u64,
}

async fn load(web: &WebState, query: &ItemQuery) -> Result<List, DatabaseError> {
    let (rows, sites, counts) =
        tokio::try_join!(web.database.items(query), web.database.sites(), web.database.counts())?;
    Ok(List { rows, sites, total: counts.items })
}

fn render(query: &ItemQuery, list: &List, now_ms: i64) -> Markup {
    html! {
        div.heading {
            h1 { "Items" }
            p.muted { (value::count(list.total)) " stored" }
        }
        (search_form(query, &list.sites))
        (chips(query))
        @let more = list.rows.next.as_ref();
        @if !list.rows.rows.is_empty() {
            (table(&list.rows.rows, list.sites.len() > 1, now_ms))
        } @else if more.is_none() {
            (nothing(query, list.total))
        } @else {
            div.notice {
                h2 { "Nothing among the latest" }
                p { "Many items were looked at. Older ones may match." }
            }
        }
        @if more.is_some() || !list.rows.rows.is_empty() {
            nav.pages aria-label="Pages" {
                @if query.cursor.is_some() { a.button.quiet href=(address(query, None)) { "← First page" } }
                @if let Some(next) = more {
                    a.button rel="next" href=(address(query, Some(next))) { "Next page →" }
                } @else {
                    p.muted { "That is all." }
                }
            }
        }
    }
}

fn search_form(query: &ItemQuery, sites: &[String]) -> Markup {
    html! {
        form.search role="search" action="/app/" method="get" {
            div.field.grows {
                label for="search" { "Search" }
                input #search type="search" name="search" value=[query.search.as_deref()]
                    placeholder="Words in a title or a field" autocomplete="off" maxlength="200";
            }
            @if sites.len() > 1 || query.site.is_some() {
                div.field {
                    label for="site" { "Site" }
                    select #site name="site" {
                        option value="" { "All sites" }
                        @for site in sites {
                            option value=(site) selected[query.site.as_ref() == Some(site)] { (site) }
                        }
                    }
                }
            }
            @if let (Some(field), Some(value)) = (&query.field, &query.value) {
                input type="hidden" name="field" value=(field);
                input type="hidden" name="value" value=(value);
            }
            button type="submit" { "Search" }
        }
    }
}

/// What narrows the list, each with the way to lift it.
fn chips(query: &ItemQuery) -> Markup {
    let without = |change: fn(&mut ItemQuery)| {
        let mut other = query.clone();
        change(&mut other);
        address(&other, None)
    };
    let mut chips = Vec::new();
    if let Some(search) = &query.search {
        chips.push((format!("“{search}”"), without(|query| query.search = None)));
    }
    if let Some(site) = &query.site {
        chips.push((format!("Site: {site}"), without(|query| query.site = None)));
    }
    if let (Some(field), Some(value)) = (&query.field, &query.value) {
        let lift = without(|query| (query.field, query.value) = (None, None));
        chips.push((format!("{}: {value}", humanize(field)), lift));
    }
    html! {
        @if !chips.is_empty() {
            ul.chips aria-label="Filters" {
                @for (text, lift) in &chips {
                    li { a href=(lift) { span.text { (text) } span.lift aria-label="Remove" { "×" } } }
                }
            }
        }
    }
}

fn nothing(query: &ItemQuery, total: u64) -> Markup {
    html! {
        div.notice {
            @if total == 0 {
                h2 { "No items yet" }
                p { "They appear here as soon as the scraper has found some and the leader has stored them." }
            } @else if query.cursor.is_some() {
                h2 { "Nothing further" }
                p { a.button href=(address(query, None)) { "First page" } }
            } @else {
                h2 { "Nothing matches" }
                p { "All words must occur in the title or in the fields." }
                p { a.button href="/app/" { "All items" } }
            }
        }
    }
}

fn table(rows: &[StoredItem], shows_site: bool, now_ms: i64) -> Markup {
    let shows_price = rows.iter().any(|row| price(row).is_some());
    html! {
        table.items {
            thead {
                tr {
                    th scope="col" { "Item" }
                    @if shows_price { th.number scope="col" { "Price" } }
                    @if shows_site { th scope="col" { "Site" } }
                    th.moment scope="col" { "Updated" }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        td.title {
                            a href={ "/app/items/" (path_segment(&row.item.id)) } { (title(row)) }
                            (facts(row))
                        }
                        @if shows_price { td.number { @if let Some((_, price)) = price(row) { (price) } } }
                        @if shows_site { td.site { (row.item.site) } }
                        td.moment { (time::ago(row.stored_at_ms, now_ms)) }
                    }
                }
            }
        }
    }
}

/// A few short fields, so that two items of one title can be told apart.
fn facts(row: &StoredItem) -> Markup {
    let price_name = price(row).map(|(name, _)| name);
    let facts: Vec<_> = row
        .item
        .fields
        .iter()
        .filter(|(name, field)| Some(name.as_str()) != price_name && field.as_str() != Some(&row.item.title))
        .filter_map(|(name, field)| value::short(field).map(|text| (humanize(name), text)))
        .take(FACTS_MAX)
        .collect();
    html! {
        @if !facts.is_empty() {
            ul.facts {
                @for (name, text) in &facts { li { span.name { (name) } " " (text) } }
            }
        }
    }
}

/// The field that is the price: the one of that name, or the first that is money.
pub(super) fn price(row: &StoredItem) -> Option<(&str, String)> {
    let price = row.item.fields.get_key_value("price").into_iter();
    price.chain(&row.item.fields).find_map(|(name, field)| value::money(field).map(|money| (name.as_str(), money)))
}

/// The title, or what identifies an item that has none.
pub(super) fn title(row: &StoredItem) -> &str {
    let title = row.item.title.trim();
    if title.is_empty() { &row.item.url } else { title }
}

/// A field's name as a label: `unit_price` reads "Unit price".
pub(super) fn humanize(name: &str) -> String {
    let spaced = name.replace(['_', '-'], " ");
    let mut letters = spaced.trim().chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The address of the list that `query` describes, at `cursor`.
pub(super) fn address(query: &ItemQuery, cursor: Option<&str>) -> String {
    let mut parameters = Serializer::new(String::new());
    for (name, value) in [
        ("search", query.search.as_deref()),
        ("site", query.site.as_deref()),
        ("field", query.field.as_deref()),
        ("value", query.value.as_deref()),
        ("cursor", cursor),
    ] {
        if let Some(value) = value {
            parameters.append_pair(name, value);
        }
    }
    let parameters = parameters.finish();
    if parameters.is_empty() { "/app/".to_owned() } else { format!("/app/?{parameters}") }
}

/// One step of a path, whatever is in it.
pub(super) fn path_segment(text: &str) -> String {
    // A form encodes a space as `+`, which a path takes literally.
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_price_is_the_field_of_that_name_or_the_first_that_is_money() {
        let row = |fields: serde_json::Value| -> StoredItem {
            serde_json::from_value(json!({
                "id": "1", "site": "shop", "url": "http://shop/1", "title": "Lamp", "fields": fields, "scraped_at_ms": 0,
                "first_stored_at_ms": 0, "stored_at_ms": 0, "term": 1, "revision": 1,
            }))
            .unwrap()
        };
        let money = |amount: &str| json!({"amount": amount, "currency": "EUR"});
        let both = row(json!({"old_price": money("18.50"), "price": money("13.85")}));
        assert_eq!(price(&both), Some(("price", "€13.85".to_owned())));
        let other = row(json!({"name": "Lamp", "price": "on request", "rent": money("2.00")}));
        assert_eq!(price(&other), Some(("rent", "€2.00".to_owned())));
        assert_eq!(price(&row(json!({"name": "Lamp"}))), None);
    }
}
