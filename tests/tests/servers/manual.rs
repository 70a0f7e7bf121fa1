//! A site nobody here wrote: the PostgreSQL manual, served as it is by Python, scraped by configuration alone, and held
//! against what Python's own parser finds in the files.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use symphony::{
    config,
    scraper::{Progress, Upload, UploadError, run},
};
use symphony_adapters::{
    broker::{Broker, BrokerError, Consumer, Depth, Message},
    item::Item,
};
use symphony_tests::servers::{find_program, trial};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) fn trials() -> Vec<Trial> {
    let name = "every_page_of_the_postgresql_manual_arrives_as_an_independent_parser_reads_it";
    let Some(folder) = manual() else {
        let reason = "needs postgresql-doc";
        let is_required = env::var_os("SYMPHONY_REQUIRE_SERVERS").is_some();
        let missing = Trial::test(name, move || Err(Failed::from(reason)));
        return vec![missing.with_kind(reason).with_ignored_flag(!is_required)];
    };
    vec![trial(name, &["python3"], move || scrape_the_manual(&folder))]
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

fn scrape(site: &config::Site, state: &Path, recorder: &Arc<Recorder>) -> Progress {
    // An error only says that another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (sender, progress) = watch::channel(Progress::default());
    let settings = config::Scraper { state: state.to_owned(), sites: vec![site.clone()], ..config::Scraper::default() };
    let (broker, upload) = (Arc::clone(recorder) as _, Arc::clone(recorder) as _);
    let running = run(settings, broker, upload, sender, CancellationToken::new());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(300), running).await }).unwrap().unwrap();
    progress.borrow().clone()
}

/// What a page says of itself.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct Page {
    title: String,
    heading: Option<String>,
    next: Option<String>,
    previous: Option<String>,
}

fn read_independently(folder: &Path) -> BTreeMap<String, Page> {
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
    fn take(&self, base: &str) -> BTreeMap<String, Page> {
        let messages = std::mem::take(&mut *self.messages.lock().unwrap());
        let name = |url: &str| url.strip_prefix(base).unwrap().trim_start_matches('/').to_owned();
        let count = messages.len();
        let pages: BTreeMap<_, _> = messages
            .into_iter()
            .map(|message| {
                let item = Item::from_message(&message.content_type, &message.body).unwrap();
                let text = |field: &str| item.fields.get(field).and_then(Value::as_str).map(str::to_owned);
                let link = |field: &str| text(field).map(|url| name(&url));
                let page = Page {
                    title: item.title.clone(),
                    heading: text("heading"),
                    next: link("next"),
                    previous: link("previous"),
                };
                (name(&item.url), page)
            })
            .collect();
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
