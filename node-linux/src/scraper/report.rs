//! The processed data of a run: all its items as CSV and as JSON, with what the run cost and a summary of each field.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;
use symphony_adapters::item::Item;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{extract::digest, journal::content_digest};

/// What one run of one site came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Statistics {
    /// Whether every page was visited that could be: only then is an item that was not seen gone.
    pub(super) complete: bool,
    pub(super) duration_ms: u64,
    /// Came with a body.
    pub(super) pages_fetched: u64,
    /// 304.
    pub(super) pages_unchanged: u64,
    /// 404 and 410.
    pub(super) pages_missing: u64,
    /// Not HTML.
    pub(super) pages_skipped: u64,
    /// Kept out of by robots.txt.
    pub(super) pages_disallowed: u64,
    /// Known and not visited, for lack of budget.
    pub(super) pages_left_out: u64,
    /// Pages and rules given up.
    pub(super) errors: u64,
    pub(super) retries: u64,
    /// Bodies, unpacked.
    pub(super) bytes: u64,
    pub(super) items_seen: u64,
    pub(super) items_new: u64,
    pub(super) items_changed: u64,
    pub(super) items_unchanged: u64,
    /// Seen in an earlier run and not in this complete one.
    pub(super) items_gone: u64,
    /// Seen, and dead letters as they are: no queue takes them.
    pub(super) items_refused: u64,
    /// Lacked their key or a required field.
    pub(super) items_incomplete: u64,
    /// Found again, on another page, in the same run.
    pub(super) items_repeated: u64,
}

/// The items of a run by id, and what they came to.
pub(super) struct Report<'a> {
    pub(super) site: &'a str,
    pub(super) started_at: OffsetDateTime,
    pub(super) finished_at: OffsetDateTime,
    pub(super) statistics: &'a Statistics,
    pub(super) items: &'a BTreeMap<String, Item>,
}

impl Report<'_> {
    /// Stands for the data alone: two runs that found the same have the same.
    pub(super) fn data_digest(&self) -> String {
        digest(&self.items.values().map(content_digest).collect::<Vec<_>>())
    }

    /// # Errors
    /// None that items can cause.
    pub(super) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Document<'a> {
            site: &'a str,
            started_at: String,
            finished_at: String,
            statistics: &'a Statistics,
            fields: BTreeMap<&'a str, Summary>,
            items: Vec<&'a Item>,
        }
        serde_json::to_vec_pretty(&Document {
            site: self.site,
            started_at: rfc3339(self.started_at),
            finished_at: rfc3339(self.finished_at),
            statistics: self.statistics,
            fields: summarize(self.items.values()),
            items: self.items.values().collect(),
        })
    }

    /// One line per item; money takes two columns.
    ///
    /// # Errors
    /// None that items can cause.
    pub(super) fn to_csv(&self) -> csv::Result<Vec<u8>> {
        let columns = columns(self.items.values());
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(columns.iter().map(|column| inert(&column.heading)))?;
        for item in self.items.values() {
            writer.write_record(columns.iter().map(|column| column.cell(item)))?;
        }
        writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
    }
}

/// What the values of a field have in common.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Summary {
    /// Items that have the field.
    present: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    numbers: Option<Spread<f64>>,
    /// By currency.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    money: BTreeMap<String, Spread<String>>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Spread<T> {
    count: u64,
    min: T,
    mean: T,
    max: T,
}

fn summarize<'a>(items: impl Iterator<Item = &'a Item>) -> BTreeMap<&'a str, Summary> {
    #[derive(Default)]
    struct Values {
        present: u64,
        numbers: Vec<f64>,
        money: BTreeMap<String, Vec<f64>>,
    }
    let mut fields: BTreeMap<&str, Values> = BTreeMap::new();
    for (name, value) in items.flat_map(|item| &item.fields) {
        let values = fields.entry(name).or_default();
        values.present += 1;
        match value {
            Value::Number(number) => values.numbers.extend(number.as_f64()),
            Value::Object(money) => {
                let text = |key: &str| money.get(key).and_then(Value::as_str);
                if let (Some(Ok(amount)), Some(currency)) = (text("amount").map(str::parse), text("currency")) {
                    values.money.entry(currency.to_owned()).or_default().push(amount);
                }
            }
            _ => {}
        }
    }
    let in_money = |spread: Spread<f64>| Spread {
        count: spread.count,
        min: format!("{:.2}", spread.min),
        mean: format!("{:.2}", spread.mean),
        max: format!("{:.2}", spread.max),
    };
    let summary = |values: Values| Summary {
        present: values.present,
        numbers: spread(&values.numbers),
        money: values
            .money
            .into_iter()
            .filter_map(|(currency, amounts)| Some((currency, in_money(spread(&amounts)?))))
            .collect(),
    };
    fields.into_iter().map(|(name, values)| (name, summary(values))).collect()
}

fn spread(values: &[f64]) -> Option<Spread<f64>> {
    let count = u32::try_from(values.len()).ok().filter(|&count| count > 0)?;
    Some(Spread {
        count: u64::from(count),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        mean: values.iter().sum::<f64>() / f64::from(count),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    })
}

struct Column {
    heading: String,
    source: Source,
}

enum Source {
    Id,
    Title,
    Url,
    ScrapedAt,
    Field(String),
    Currency(String),
}

impl Column {
    fn cell(&self, item: &Item) -> String {
        match &self.source {
            Source::Id => inert(&item.id),
            Source::Title => inert(&item.title),
            Source::Url => inert(&item.url),
            Source::ScrapedAt => {
                let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(item.scraped_at_ms) * 1_000_000);
                at.map(rfc3339).unwrap_or_default()
            }
            Source::Field(name) => match item.fields.get(name) {
                Some(Value::String(text)) => inert(text),
                Some(Value::Object(money)) => part(money, "amount"),
                Some(other) => other.to_string(),
                None => String::new(),
            },
            Source::Currency(name) => match item.fields.get(name) {
                Some(Value::Object(money)) => part(money, "currency"),
                _ => String::new(),
            },
        }
    }
}

fn part(money: &serde_json::Map<String, Value>, name: &str) -> String {
    money.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A field called like one of the fixed columns gets another heading.
fn columns<'a>(items: impl Iterator<Item = &'a Item>) -> Vec<Column> {
    let mut fields: BTreeMap<&str, bool> = BTreeMap::new();
    for (name, value) in items.flat_map(|item| &item.fields) {
        *fields.entry(name).or_default() |= value.is_object();
    }
    let fixed = [("id", Source::Id), ("title", Source::Title), ("url", Source::Url), ("scraped_at", Source::ScrapedAt)];
    let mut columns: Vec<Column> =
        fixed.into_iter().map(|(heading, source)| Column { heading: heading.to_owned(), source }).collect();
    let mut taken: BTreeSet<String> = columns.iter().map(|column| column.heading.clone()).collect();
    let mut add = |mut heading: String, source: Source| {
        while !taken.insert(heading.clone()) {
            heading = format!("field_{heading}");
        }
        columns.push(Column { heading, source });
    };
    for (name, is_money) in fields {
        add(name.to_owned(), Source::Field(name.to_owned()));
        if is_money {
            add(format!("{name}_currency"), Source::Currency(name.to_owned()));
        }
    }
    columns
}

/// A text that a spreadsheet would take for a formula is marked as text.
fn inert(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

fn rfc3339(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}

/// Length of a run in milliseconds.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn items() -> BTreeMap<String, Item> {
        let item = |id: &str, title: &str, fields: Value| Item {
            id: id.to_owned(),
            site: "s".to_owned(),
            url: format!("http://h.example/{id}"),
            title: title.to_owned(),
            fields: serde_json::from_value(fields).unwrap(),
            scraped_at_ms: 784_111_777_000,
        };
        [
            item("a", "=1+1", json!({"price": {"amount": "-5.00", "currency": "EUR"}, "stars": -1.5, "title": "x"})),
            item("b", "Tea, \"green\"", json!({"price": {"amount": "8.00", "currency": "EUR"}, "stars": 4})),
            item("c", "@home", json!({"price": {"amount": "3.00", "currency": "GBP"}, "note": "-"})),
        ]
        .into_iter()
        .map(|item| (item.id.clone(), item))
        .collect()
    }

    fn report<'a>(items: &'a BTreeMap<String, Item>, statistics: &'a Statistics) -> Report<'a> {
        let at = OffsetDateTime::UNIX_EPOCH;
        Report { site: "s", started_at: at, finished_at: at, statistics, items }
    }

    #[test]
    fn a_spreadsheet_gets_text_as_text_and_numbers_as_numbers() {
        let csv = String::from_utf8(report(&items(), &Statistics::default()).to_csv().unwrap()).unwrap();
        assert_eq!(
            csv,
            "id,title,url,scraped_at,note,price,price_currency,stars,field_title\n\
             a,'=1+1,http://h.example/a,1994-11-06T08:49:37Z,,-5.00,EUR,-1.5,x\n\
             b,\"Tea, \"\"green\"\"\",http://h.example/b,1994-11-06T08:49:37Z,,8.00,EUR,4,\n\
             c,'@home,http://h.example/c,1994-11-06T08:49:37Z,'-,3.00,GBP,,\n"
        );
    }

    #[test]
    fn json_tells_what_the_run_came_to() {
        let statistics = Statistics { items_seen: 3, complete: true, ..Statistics::default() };
        let document: Value = serde_json::from_slice(&report(&items(), &statistics).to_json().unwrap()).unwrap();
        assert_eq!(document["statistics"]["items_seen"], 3);
        assert_eq!(document["items"].as_array().unwrap().len(), 3);
        assert_eq!(
            document["fields"],
            json!({
                "note": {"present": 1},
                "price": {"present": 3, "money": {
                    "EUR": {"count": 2, "min": "-5.00", "mean": "1.50", "max": "8.00"},
                    "GBP": {"count": 1, "min": "3.00", "mean": "3.00", "max": "3.00"}}},
                "stars": {"present": 2, "numbers": {"count": 2, "min": -1.5, "mean": 1.25, "max": 4.0}},
                "title": {"present": 1},
            })
        );
    }

    #[test]
    fn the_digest_is_of_the_data_alone() {
        let (mut later, statistics) = (items(), Statistics { retries: 3, ..Statistics::default() });
        later.values_mut().for_each(|item| item.scraped_at_ms += 1);
        let first = report(&items(), &Statistics::default()).data_digest();
        assert_eq!(report(&later, &statistics).data_digest(), first);
        later.remove("a");
        assert_ne!(report(&later, &statistics).data_digest(), first);
    }
}
