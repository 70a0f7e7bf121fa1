//! The demonstration shop, scraped as its own description says.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use symphony::{config, scraper::Progress, shop};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::{
    PATIENCE,
    recorder::{Folder, Recorder},
    scrape, start,
};

async fn open(products: usize, price_change_every: Duration) -> (String, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let settings = config::Shop { products, price_change_every, ..config::Shop::default() };
    tokio::spawn(shop::serve(listener, settings, shutdown.clone()));
    (url, shutdown)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_product_arrives_once_and_a_second_run_has_nothing_to_say() {
    let (url, _shop) = open(240, Duration::from_secs(3600)).await;
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());

    let (result, first) = scrape(shop::site(&url), state.path(), &broker, &folder).await;
    result.unwrap();
    let items = broker.items();
    assert_eq!((broker.count(), items.len()), (240, 240));
    let skus: HashSet<_> = items.iter().map(|item| item.fields["sku"].as_str().unwrap().to_owned()).collect();
    assert_eq!(skus.len(), 240);
    for item in &items {
        assert_eq!(item.fields["price"]["currency"], "EUR", "{item:?}");
        assert!(item.fields["rating"].is_number() && item.fields["stock"].is_number(), "{item:?}");
        assert!(item.fields["image"].as_str().unwrap().starts_with(&url), "{item:?}");
        assert!(item.title.split(' ').count() >= 3, "{item:?}");
    }
    assert!(items.iter().any(|item| item.fields.contains_key("old_price")));
    let names = folder.names();
    assert_eq!(names.len(), 2, "{names:?}");
    let document = &folder.documents()[0];
    assert_eq!(document["statistics"]["items_new"], 240);
    assert_eq!(document["statistics"]["complete"], true);
    assert_eq!(document["items"].as_array().unwrap().len(), 240);
    assert_eq!(document["fields"]["price"]["money"]["EUR"]["count"], 240);
    let csv = folder.files.lock().unwrap().iter().find(|(name, _)| name.ends_with(".csv")).unwrap().1.clone();
    assert_eq!(csv::Reader::from_reader(csv.as_slice()).records().count(), 240);

    let (result, second) = scrape(shop::site(&url), state.path(), &broker, &folder).await;
    result.unwrap();
    assert_eq!(broker.count(), 240, "nothing published again");
    assert_eq!(folder.names(), names, "nothing uploaded again");
    assert_eq!((second.totals.pages_fetched, second.totals.items_seen), (0, 240));
    assert_eq!(second.totals.pages_unchanged, first.totals.pages_fetched);
    assert_eq!((first.totals.errors, second.totals.errors), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_a_price_is_published_and_nothing_else() {
    let (url, _shop) = open(60, Duration::from_millis(400)).await;
    let state = tempfile::tempdir().unwrap();
    let (broker, folder) = (Recorder::new(), Folder::new());
    let (sender, mut progress) = watch::channel(Progress::default());
    let shutdown = CancellationToken::new();
    let every = Some(Duration::from_millis(50));
    let running =
        tokio::spawn(start(shop::site(&url), every, state.path(), &broker, &folder, sender, shutdown.clone()));
    let enough = progress.wait_for(|progress| progress.totals.items_published >= 72);
    tokio::time::timeout(PATIENCE, enough).await.unwrap().unwrap();
    shutdown.cancel();
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();

    let mut prices: BTreeMap<String, String> = BTreeMap::new();
    let mut ids = HashSet::new();
    for item in broker.items() {
        let price = format!("{} {:?}", item.fields["price"], item.fields.get("old_price"));
        let before = prices.insert(item.id, price.clone());
        assert_ne!(before, Some(price), "published without a change");
    }
    assert_eq!(prices.len(), 60);
    assert!(broker.messages().into_iter().all(|message| ids.insert(message.id)), "no message twice");
}

#[tokio::test]
async fn the_shop_answers_as_a_site_should() {
    let (url, closing) = open(240, Duration::from_secs(3600)).await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let get = async |path: &str| {
        let response = client.get(format!("{url}{path}")).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(get("/healthz").await, (200, "alive\n".to_owned()));
    for path in ["/nowhere", "/product/nothing", "/category/kitchen?page=3", "/category/kitchen?page=0", "/image/x.svg"]
    {
        assert_eq!(get(path).await.0, 404, "{path}");
    }
    assert!(get("/category/kitchen").await.1.contains("<a rel=\"next\" href=\"/category/kitchen?page=2\">"));
    assert!(!get("/category/kitchen?page=2").await.1.contains("rel=\"next\""));
    assert!(get("/robots.txt").await.1.contains(&format!("Disallow: /cart\n\nSitemap: {url}/sitemap.xml")));
    let sitemap = get("/sitemap.xml").await.1;
    assert_eq!(sitemap.matches("<loc>").count(), 1 + 8 + 240);
    assert_eq!(sitemap.matches("/product/").count(), 240);
    assert_eq!(get("/cart?add=KI-0001").await.0, 200);
    let image = client.get(format!("{url}/image/KI-0001.svg")).send().await.unwrap();
    assert_eq!(image.headers()["content-type"], "image/svg+xml");
    closing.cancel();
}
