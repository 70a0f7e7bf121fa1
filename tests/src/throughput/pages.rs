//! What a long table costs its readers.

#![allow(clippy::expect_used, reason = "a failed step ends the run")]

use std::{collections::BTreeMap, time::Instant};

use sqlx::AssertSqlSafe;

use super::{
    median,
    stage::{Stage, TAKE_TOKEN},
};

/// Times that each page is asked for.
const LOOKS: usize = 41;

/// Milliseconds for a page of the web node, the medians, by what is asked for.
pub(super) type Pages = BTreeMap<&'static str, f64>;

/// Fills the table with this many rows, and asks for pages.
pub(super) async fn with_rows(stage: &Stage, rows: usize) -> Pages {
    let one = rows / 2 + 1;
    let fill = format!(
        "BEGIN; {TAKE_TOKEN}; TRUNCATE items; INSERT INTO items SELECT lpad(to_hex(n), 8, '0'), 'shop', \
         'http://shop/products/' || n, 'Product ' || n, \
         jsonb_build_object('category', 'Lamps', 'serial', 'serial-' || n) \
         || CASE n WHEN {one} THEN '{{\"odd one\": true}}'::JSONB ELSE '{{}}'::JSONB END, \
         E'product ' || n || E'\\nlamps\\nserial-' || n || CASE n WHEN {one} THEN E'\\nzeppelin' ELSE '' END \
         || CASE hashint4(n) % 100 WHEN 0 THEN E'\\nairship' ELSE '' END, \
         n, n, n, 1, 1 FROM generate_series(1, {rows}) AS n; COMMIT",
    );
    let mut session = stage.session().await;
    for script in [fill, "VACUUM ANALYZE items".to_owned()] {
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut session).await.expect("rows");
    }
    // Where the page before one in the middle ended, as the list says it.
    let deep = format!("cursor={}", hex::encode(format!("items.{one}.{one:08x}")));
    let mut pages = Pages::new();
    for (what, query) in [
        ("list", String::new()),
        ("list, deep", deep.clone()),
        ("search, common", "search=lamps".to_owned()),
        ("search, common, deep", format!("search=lamps&{deep}")),
        ("search, one in a hundred", "search=airship".to_owned()),
        ("search, rare", "search=zeppelin".to_owned()),
        ("search, rare number", format!("search=product+{one}")),
        ("search, none", "search=dirigible".to_owned()),
        ("search, two letters, none", "search=qq".to_owned()),
        ("field, common", "field=category&value=Lamps".to_owned()),
        ("field, rare", format!("field=serial&value=serial-{one}")),
        ("field, one item's", "field=odd+one".to_owned()),
        ("field, none", "field=colour".to_owned()),
    ] {
        pages.insert(what, time(stage, &format!("{}/v1/items?limit=50&{query}", stage.node())).await);
    }
    pages
}

async fn time(stage: &Stage, url: &str) -> f64 {
    let mut samples = Vec::new();
    for _ in 0..LOOKS {
        let begun = Instant::now();
        let answer = stage.visitor.get(url).await;
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
        answer.bytes().await.expect("a page");
        samples.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    median(samples)
}
