//! What types cannot say: relations between keys, addresses, patterns, and what a role cannot do without.

mod node;
mod site;
mod text;

use std::collections::BTreeSet;

use symphony_adapters::http::api::ItemsRequest;
use tracing_subscriber::EnvFilter;

use super::{
    Config, FtpTls, Role,
    error::Problem,
    origin::Origin,
    path::Path,
    tree::{self, Table},
};

/// Bytes of a queue's name at most: with `.dead` behind it, it still is a short string of AMQP.
const QUEUE_NAME_SIZE_MAX: usize = 250;

/// Everything that is wrong with a configuration whose values all have the right type.
pub(super) fn problems(config: &Config, tree: &Table, role: Option<Role>) -> Vec<Problem> {
    let mut check = Check { tree, problems: Vec::new() };
    node::check(&mut check, &config.node, role);
    queue_and_database(&mut check, config);
    api(&mut check, config, role);
    web_and_manager(&mut check, config);
    ftp(&mut check, config, role);
    mail(&mut check, config);
    scraper(&mut check, config, role);
    shop(&mut check, config);
    tls(&mut check, config);
    log(&mut check, config);
    check.problems
}

/// Collects problems and finds out who is to blame.
struct Check<'a> {
    tree: &'a Table,
    problems: Vec<Problem>,
}

impl Check<'_> {
    /// Notes what is wrong with the value at `path`.
    fn problem(&mut self, path: &Path, message: impl Into<String>) {
        let origin = tree::origin(self.tree, path);
        self.problems.push(Problem { path: path.clone(), message: message.into(), origin });
    }

    /// Notes what is wrong with a secret at `path`; the message must not hold it.
    fn secret_problem(&mut self, path: &Path, message: impl Into<String>) {
        let origin = tree::origin(self.tree, path).hiding_value();
        self.problems.push(Problem { path: path.clone(), message: message.into(), origin });
    }

    /// Notes `message` unless `holds`.
    fn require(&mut self, holds: bool, path: &Path, message: impl Into<String>) {
        if !holds {
            self.problem(path, message);
        }
    }

    /// Notes the failure of `result`.
    fn accept(&mut self, result: Result<(), String>, path: &Path) {
        if let Err(message) = result {
            self.problem(path, message);
        }
    }

    /// The first of two keys that somebody set; the first of all if nobody set any.
    fn set_among(&self, [first, second]: [Path; 2]) -> Path {
        if !self.is_set(&first) && self.is_set(&second) { second } else { first }
    }

    /// Whether somebody set the key at `path`.
    fn is_set(&self, path: &Path) -> bool {
        !matches!(tree::origin(self.tree, path), Origin::Default)
    }
}

fn queue_and_database(check: &mut Check<'_>, config: &Config) {
    if let Err(message) = text::url(config.broker.url.expose(), &["amqp", "amqps"], &["sqlite"]) {
        check.secret_problem(&Path::new("broker", "url"), message);
    }
    let queue = &config.broker.queue;
    let fits = !queue.is_empty() && queue.len() <= QUEUE_NAME_SIZE_MAX && !queue.starts_with("amq.");
    let message = format!("expected 1 to {QUEUE_NAME_SIZE_MAX} bytes that do not begin with \"amq.\"");
    check.require(fits, &Path::new("broker", "queue"), message);
    if let Err(message) = text::url(config.database.url.expose(), &["postgres", "postgresql"], &["sqlite"]) {
        check.secret_problem(&Path::new("database", "url"), message);
    }
}

fn api(check: &mut Check<'_>, config: &Config, role: Option<Role>) {
    let token = Path::new("api", "token");
    if config.api.token.expose().is_empty() {
        let is_needed = matches!(role, Some(Role::Web | Role::Manager));
        check.require(!is_needed, &token, "must be set: nobody may change anything without it");
    } else if let Err(error) = config.api.bearer() {
        check.secret_problem(&token, error.to_string());
    }
}

fn web_and_manager(check: &mut Check<'_>, config: &Config) {
    if let Some(url) = &config.web.url {
        check.accept(text::http_url(url), &Path::new("web", "url"));
    }
    for (path, urls) in
        [(Path::new("web", "managers"), &config.web.managers), (Path::new("manager", "web"), &config.manager.web)]
    {
        for (index, url) in urls.iter().enumerate() {
            check.accept(text::http_url(url), &path.index(index));
        }
    }
    let manager = &config.manager;
    check.require(manager.prefetch > 0, &Path::new("manager", "prefetch"), "must be above 0");
    let most = ItemsRequest::ENTRIES_MAX;
    let batch_max = Path::new("manager", "batch_max");
    check.require((1..=most).contains(&manager.batch_max), &batch_max, format!("must be from 1 to {most}"));
    check.require(manager.deliveries_max > 0, &Path::new("manager", "deliveries_max"), "must be above 0");
    check.require(!manager.ftp_every.is_zero(), &Path::new("manager", "ftp_every"), "must be above 0");
}

fn ftp(check: &mut Check<'_>, config: &Config, role: Option<Role>) {
    check.accept(text::host_and_port(&config.ftp.address), &Path::new("ftp", "address"));
    check.require(!config.ftp.user.is_empty(), &Path::new("ftp", "user"), "must not be empty");
    check.require(!config.ftp.folder.is_empty(), &Path::new("ftp", "folder"), "must not be empty");
    let server = &config.ftp_server;
    check.require(!server.user.is_empty(), &Path::new("ftp_server", "user"), "must not be empty");
    let (min, max) = (Path::new("ftp_server", "passive_port_min"), Path::new("ftp_server", "passive_port_max"));
    check.require(server.passive_port_min > 0, &min, "must be above 0");
    if server.passive_port_min > server.passive_port_max {
        let message = format!(
            "the passive ports from {} to {} are none at all",
            server.passive_port_min, server.passive_port_max
        );
        let blamed = check.set_among([min, max]);
        check.problem(&blamed, message);
    }
    if role == Some(Role::Ftp) && server.password.expose().is_empty() {
        check.problem(&Path::new("ftp_server", "password"), "must be set: nobody may log in without one");
    }
}

fn mail(check: &mut Check<'_>, config: &Config) {
    let mail = &config.mail;
    let Some(url) = &mail.url else { return };
    if let Err(message) = text::url(url.expose(), &["smtp", "smtps"], &["file"]) {
        check.secret_problem(&Path::new("mail", "url"), message);
    }
    check.accept(text::mail_address(&mail.from), &Path::new("mail", "from"));
    let to = Path::new("mail", "to");
    check.require(!mail.to.is_empty(), &to, "must name somebody, as mail.url is set");
    for (index, address) in mail.to.iter().enumerate() {
        check.accept(text::mail_address(address), &to.index(index));
    }
}

fn scraper(check: &mut Check<'_>, config: &Config, role: Option<Role>) {
    let scraper = &config.scraper;
    let every = Path::new("scraper", "every");
    check.require(scraper.every.is_none_or(|every| !every.is_zero()), &every, "must be above 0");
    let sites = Path::new("scraper", "sites");
    check.require(!(role == Some(Role::Scraper) && scraper.sites.is_empty()), &sites, "must name a site to scrape");
    let mut names = BTreeSet::new();
    for (index, site) in scraper.sites.iter().enumerate() {
        let path = sites.index(index);
        let unique = names.insert(&site.name);
        check.require(unique, &path.key("name"), format!("another site is called {:?} already", site.name));
        site::check(check, site, &path);
    }
}

fn shop(check: &mut Check<'_>, config: &Config) {
    check.require(config.shop.products > 0, &Path::new("shop", "products"), "must be above 0");
    let every = Path::new("shop", "price_change_every");
    check.require(!config.shop.price_change_every.is_zero(), &every, "must be above 0");
}

fn tls(check: &mut Check<'_>, config: &Config) {
    let [certificate, key] = ["certificate", "key"].map(|key| Path::new("tls", key));
    match (&config.tls.certificate, &config.tls.key) {
        (Some(_), None) => check.problem(&certificate, "needs tls.key, the file of its private key"),
        (None, Some(_)) => check.problem(&key, "needs tls.certificate, the file of its certificate"),
        _ => {}
    }
    if config.tls.ca.is_none() && config.tls.certificate.is_none() {
        return;
    }
    // Who names certificates wants encryption, so nothing may leave the machine without it by default alone.
    if text::leaves_encryption_open(config.database.url.expose()) {
        let message =
            "may go unencrypted although [tls] is set: add ?sslmode=verify-full, or ?sslmode=disable to insist";
        check.secret_problem(&Path::new("database", "url"), message);
    }
    let ftp_tls = Path::new("ftp", "tls");
    let host = config.ftp.address.rsplit_once(':').map_or("", |(host, _)| host);
    let is_open = config.ftp.tls == FtpTls::None && !check.is_set(&ftp_tls) && !text::is_loopback(host);
    let message = "goes unencrypted although [tls] is set: set it to \"required\", or to \"none\" to insist";
    check.require(!is_open, &ftp_tls, message);
}

fn log(check: &mut Check<'_>, config: &Config) {
    if let Err(error) = EnvFilter::builder().parse(&config.log.filter) {
        check
            .problem(&Path::new("log", "filter"), format!("not a filter such as info or symphony=debug,warn: {error}"));
    }
}
