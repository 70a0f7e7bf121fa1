//! A site nobody here wrote: the PostgreSQL manual, served as it is by Python, scraped by configuration alone, and held
//! against what Python's own parser finds in the files: as published, and as stored at the end of the whole way.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use libtest_mimic::Trial;
use reqwest::StatusCode;
use serde_json::Value;
use symphony::{
    config,
    scraper::{Progress, Upload, UploadError, run},
};
use symphony_adapters::{
    broker::{Broker, BrokerError, Consumer, DeadLetter, Depth, Message},
    database::{Page, StoredFile},
    item::Item,
};
use symphony_tests::{
    cluster::{Cluster, GRACE, programs},
    servers::{find_program, free_port, impossible, postgres::Postgres, rabbitmq::RabbitMq, trial},
    symphony::{Visitor, until},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::PROGRAM;

pub(crate) fn trials() -> Vec<Trial> {
    type Test = fn(&Path);
    let tests: [(_, _, Test); 2] = [
        ("manual::every_page_is_published_as_an_independent_parser_reads_it", vec!["python3"], scrape_the_manual),
        (
            "manual::every_page_is_stored_as_an_independent_parser_reads_it",
            programs(&["python3"]),
            take_the_manual_to_the_database,
        ),
    ];
    let Some(folder) = manual() else {
        return tests.into_iter().map(|(name, _, _)| impossible(name, "postgresql-doc")).collect();
    };
    let on_the_manual = |(name, programs, test): (&str, Vec<&str>, Test)| {
        let folder = folder.clone();
        trial(name, &programs, move || test(&folder))
    };
    tests.into_iter().map(on_the_manual).collect()
}

/// Where Debian's package puts the manual, whatever its version.
fn manual() -> Option<PathBuf> {
    let packages = Path::new("/usr/share/doc").read_dir().ok()?.flatten();
    let mut folders: Vec<PathBuf> = packages
        .filter(|package| package.file_name().to_string_lossy().starts_with("postgresql-doc-"))
        .map(|package| package.path().join("html"))
        .filter(|folder| folder.join("index.html").is_file())
        .collect();
    folders.sort();
    folders.pop()
}

/// The longest that a run takes.
const SCRAPE_TIME_MAX: Duration = Duration::from_secs(900);

const SITE: &str = r#"
    name = "manual"
    start = ["URL/index.html"]
    follow = '\.html$'
    title = "title"
    concurrency = 8

    [fields]
    title = { selector = "title", required = true }
    heading = { selector = "h1.title, h2.title, h3.title" }
    chapter = { selector = ".navheader th[width]" }
    next = { selector = "a[accesskey=n]", type = "url" }
    previous = { selector = "a[accesskey=p]", type = "url" }
"#;

fn scrape_the_manual(folder: &Path) {
    let expected = read_independently(folder);
    let files = folder.read_dir().unwrap().flatten();
    let pages = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "html")).count();
    assert!(pages > 1000 && expected.len() == pages, "{pages} files, {} reachable", expected.len());

    let server = Server::start(folder);
    let site: config::Site = toml::from_str(&SITE.replace("URL", &server.url)).unwrap();
    let state = tempfile::tempdir().unwrap();
    let recorder = Arc::new(Recorder::default());

    let start = Instant::now();
    let first = scrape(&site, state.path(), &recorder);
    println!("{pages} pages in {:?}", start.elapsed());
    let found = recorder.take(&server.url);
    for (name, page) in &expected {
        assert_eq!(found.get(name), Some(page), "{name}");
    }
    assert_eq!(found.len(), expected.len());
    let count = u64::try_from(pages).unwrap();
    assert_eq!((first.totals.pages_fetched, first.totals.items_published, first.totals.errors), (count, count, 0));
    assert_eq!(first.totals.files_uploaded, 2);

    let second = scrape(&site, state.path(), &recorder);
    assert!(recorder.take(&server.url).is_empty(), "nothing is published twice");
    assert_eq!((second.totals.pages_unchanged, second.totals.items_seen), (count, count));
}

/// Scraper, queue, manager, three web nodes and the database, and our own file server for the processed data.
fn take_the_manual_to_the_database(folder: &Path) {
    let expected = read_independently(folder);
    let server = Server::start(folder);
    let (broker, postgres) = (RabbitMq::started(), Postgres::start());
    let site: config::Site = toml::from_str(&SITE.replace("URL", &server.url)).unwrap();
    let (ftp, operations) = (free_port(), free_port());
    let more = format!(
        "[ftp_server]\nlisten = \"127.0.0.1:{ftp}\"\noperations = \"127.0.0.1:{operations}\"\nroot = \"ftp\"\n\
         password = \"manual\"\n\n[ftp]\naddress = \"127.0.0.1:{ftp}\"\npassword = \"manual\"\n"
    );
    let cluster = Cluster::new(PROGRAM, 3, &broker.url(), &postgres.create_database(), &more, site);
    let urls = cluster.urls();
    let mut roles = vec![cluster.start("ftp", &[]), cluster.start("manager", &[])];
    roles.extend(urls.keys().map(|id| cluster.start_node(*id)));

    let visitor = Visitor::new();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let start = Instant::now();
        let mut scraper = cluster.start("scraper", &["--once"]);
        let ftp = format!("http://127.0.0.1:{operations}");
        for url in urls.values().chain([&cluster.manager, &ftp]) {
            let url = format!("{url}/readyz");
            until(&url, || async { (visitor.try_get(&url).await?.status() == StatusCode::OK).then_some(()) }).await;
        }
        scraper.succeed_within(SCRAPE_TIME_MAX);
        println!("{} pages scraped and published in {:?}", expected.len(), start.elapsed());
        let status = format!("{}/v1/status", urls[&1]);
        until("all pages", || async {
            let status: Value = visitor.try_json(&status).await?;
            let items = status["counts"]["items"].as_u64()?;
            (items >= u64::try_from(expected.len()).unwrap()).then_some(())
        })
        .await;
        println!("and stored in {:?}", start.elapsed());
        for url in urls.values() {
            let items = visitor.items(url).await;
            assert!(items.iter().all(|stored| stored.revision == 1), "each page is stored once");
            let count = items.len();
            let stored: BTreeMap<_, _> = items.iter().map(|stored| read_item(&server.url, &stored.item)).collect();
            assert_eq!(stored.len(), count, "each page has an item of its own");
            assert!(stored == expected, "{url}: {}", difference(&stored, &expected));
        }
        // The processed data have taken the other way, and say the same.
        let files = until("the files", || async {
            let page: Page<StoredFile> = visitor.try_json(&format!("{}/v1/files", urls[&1])).await?;
            (page.rows.len() == 2).then_some(page.rows)
        })
        .await;
        let json = files.iter().find(|file| file.path.ends_with(".json")).unwrap();
        let document: Value = visitor.json(&format!("{}/v1/files/{}/content", urls[&1], json.sha256)).await;
        let items: Vec<Item> = serde_json::from_value(document["items"].clone()).unwrap();
        let delivered: BTreeMap<_, _> = items.iter().map(|item| read_item(&server.url, item)).collect();
        assert!(delivered == expected, "{}", difference(&delivered, &expected));
    });
    for role in &mut roles {
        role.stop(GRACE);
    }
}

/// What of the two differs, for the first page that does.
fn difference(found: &BTreeMap<String, ManualPage>, expected: &BTreeMap<String, ManualPage>) -> String {
    let first = expected.iter().find(|(name, page)| found.get(*name) != Some(page));
    format!("{} pages, not {}; {first:?} is {:?}", found.len(), expected.len(), first.map(|(name, _)| found.get(name)))
}

fn scrape(site: &config::Site, state: &Path, recorder: &Arc<Recorder>) -> Progress {
    // An error only says that another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (sender, progress) = watch::channel(Progress::default());
    let settings = config::Scraper { state: state.to_owned(), sites: vec![site.clone()], ..config::Scraper::default() };
    let (broker, upload) = (Arc::clone(recorder) as _, Arc::clone(recorder) as _);
    let tls = symphony_adapters::tls::Tls::new(None).unwrap();
    let running = run(settings, &tls, broker, upload, sender, CancellationToken::new());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { tokio::time::timeout(SCRAPE_TIME_MAX, running).await }).unwrap().unwrap();
    progress.borrow().clone()
}

/// What a page says of itself.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct ManualPage {
    title: String,
    heading: Option<String>,
    next: Option<String>,
    previous: Option<String>,
}

/// The file that an item was scraped from, and what the item says of it.
fn read_item(base: &str, item: &Item) -> (String, ManualPage) {
    let name = |url: &str| url.strip_prefix(base).unwrap().trim_start_matches('/').to_owned();
    let text = |field: &str| item.fields.get(field).and_then(Value::as_str).map(str::to_owned);
    let link = |field: &str| text(field).map(|url| name(&url));
    let page = ManualPage {
        title: item.title.clone(),
        heading: text("heading"),
        next: link("next"),
        previous: link("previous"),
    };
    (name(&item.url), page)
}

fn read_independently(folder: &Path) -> BTreeMap<String, ManualPage> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/manual.py");
    let output = Command::new(find_program("python3").unwrap()).arg(script).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Python's file server on a port of its choice, stopped when dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(find_program("python3").unwrap())
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
            .arg(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port =
            line.split_whitespace().skip_while(|word| *word != "port").nth(1).unwrap_or_else(|| panic!("{line}"));
        Self { url: format!("http://127.0.0.1:{port}"), child }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A broker and a file server that take everything.
#[derive(Default)]
struct Recorder {
    messages: Mutex<Vec<Message>>,
}

impl Recorder {
    /// The pages that arrived since the last call, by file name.
    fn take(&self, base: &str) -> BTreeMap<String, ManualPage> {
        let messages = std::mem::take(&mut *self.messages.lock().unwrap());
        let count = messages.len();
        let read = |message: Message| {
            let item = Item::from_message(&message.content_type, &message.body).unwrap();
            read_item(base, &item)
        };
        let pages: BTreeMap<_, _> = messages.into_iter().map(read).collect();
        assert_eq!(pages.len(), count, "each page once");
        pages
    }
}

#[async_trait]
impl Broker for Recorder {
    async fn publish(&self, message: &Message) -> Result<(), BrokerError> {
        self.messages.lock().unwrap().push(message.clone());
        Ok(())
    }

    async fn consume(&self, _: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        Err(BrokerError::Configuration("nobody consumes here".to_owned()))
    }

    async fn depth(&self) -> Result<Depth, BrokerError> {
        Ok(Depth::default())
    }

    async fn dead_letters(&self, _: Option<&str>, _: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        Ok(Vec::new())
    }

    async fn bury(&self, message: &Message, reason: &str) -> Result<(), BrokerError> {
        panic!("{}: {reason}", message.id)
    }

    async fn replay(&self, _: Option<&str>) -> Result<u64, BrokerError> {
        Ok(0)
    }

    fn health(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn close(&self) {}
}

#[async_trait]
impl Upload for Recorder {
    async fn upload(&self, _: &str, _: Vec<u8>) -> Result<(), UploadError> {
        Ok(())
    }
}
