//! `symphony init`: every secret of a new deployment, in a folder for each service that holds what that service needs
//! and nothing else.
//!
//! The folder `authority` holds each secret once; the others are derived from it. Nothing is ever overwritten: a second
//! run writes what is missing, from the same secrets.

mod folder;
mod rabbitmq;

use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use thiserror::Error;
use zeroize::Zeroizing;

use self::folder::Folder;
use crate::{
    cert::{self, CertError, CertName},
    keys::{self, KeyFileError},
};

/// Where the services find each other: the names of docker-compose.yml.
const BROKER: &str = "rabbitmq:5671";
const DATABASE: &str = "postgres:5432";
const MAIL: &str = "mail:1025";

/// What the certificate of the web nodes holds for; any other holds for its service's name.
const WEB_NAMES: &str = "web,web1,web2,web3,web4,web5,web6,web7,web8,web9";

/// The account that the roles have at every server, and the name of its database and virtual host.
const ACCOUNT: &str = "symphony";

/// Folder of the secrets themselves, for nobody but whoever runs this.
const AUTHORITY: &str = "authority";

/// Bytes of randomness in a password or token: as many as in a key.
const SECRET_SIZE: usize = 32;

/// Where to write, and who may read it.
#[derive(Debug, Args)]
pub(crate) struct InitOptions {
    /// Folder of the services' folders
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Group that may read a service's folder, as SERVICE=GID; once for each. Without one, only the owner may
    #[arg(long = "group", value_name = "SERVICE=GID", value_parser = parse_group)]
    groups: Vec<(String, u32)>,
    /// Name or address of this machine by which users reach the manager: its certificate holds for that, too
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    host: String,
}

/// Why not all is written.
#[derive(Debug, Error)]
enum InitError {
    #[error("{path}: {source}", path = .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    #[error(transparent)]
    Certificate(#[from] CertError),
    #[error("{0}")]
    Name(String),
    #[error("there is no service {name}; the services are {known}", name = .0, known = SERVICES.join(", "))]
    Service(String),
    #[error("{path}: is empty: remove it to have a new secret made", path = .0.display())]
    Empty(PathBuf),
}

/// All that get a folder.
const SERVICES: [&str; 10] =
    ["web", "manager", "scraper", "ftp", "rabbitmq", "postgres", "mail", "prometheus", "grafana", BOARD];

/// Takes part in the election alone, so it has no certificate.
const BOARD: &str = "board";

pub(crate) fn run(options: &InitOptions) -> ExitCode {
    match write_all(options) {
        Ok(report) => crate::print(&report),
        Err(error) => {
            crate::complain(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn parse_group(text: &str) -> Result<(String, u32), String> {
    text.split_once('=')
        .and_then(|(service, group)| Some((service.to_owned(), group.parse().ok()?)))
        .ok_or_else(|| "expected SERVICE=GID".into())
}

/// Writes what is missing, and says so; no secret is in what it says.
fn write_all(options: &InitOptions) -> Result<String, InitError> {
    if let Some((unknown, _)) = options.groups.iter().find(|(service, _)| !SERVICES.contains(&service.as_str())) {
        return Err(InitError::Service(unknown.clone()));
    }
    let mut authority = Folder::open(&options.out, AUTHORITY, None)?;
    // Two runs at once would each make what it does not see yet.
    let _lock = authority.lock()?;
    let secrets = Secrets::load(&mut authority)?;
    let certified = SERVICES.into_iter().filter(|service| *service != BOARD);
    let names = certified.map(|service| match service {
        "web" => WEB_NAMES.to_owned(),
        "manager" => format!("manager,{}", options.host),
        _ => service.to_owned(),
    });
    let names = names.map(|name| CertName::parse(&name)).collect::<Result<Vec<_>, _>>().map_err(InitError::Name)?;
    let made = cert::make(&options.out.join(AUTHORITY), &names)?;
    let mut folders = Vec::new();
    for service in SERVICES {
        let group = options.groups.iter().find_map(|(name, group)| (name == service).then_some(*group));
        let mut folder = Folder::open(&options.out, service, group)?;
        for (name, content) in secrets.files_of(service)? {
            folder.write(name, content.as_bytes())?;
        }
        let certificate = [
            ("ca.pem", "ca.pem".to_owned()),
            ("certificate.pem", format!("{service}.pem")),
            ("certificate.key", format!("{service}.key")),
        ];
        for (name, source) in certificate.iter().filter(|_| service != BOARD) {
            folder.write(name, authority.read(source)?.as_bytes())?;
        }
        folders.push(folder);
    }
    let mut report = String::new();
    for pair in made.iter().filter(|pair| pair.outcome != cert::Outcome::Kept) {
        // Writing to a string does not fail.
        let _ = writeln!(report, "{pair}");
    }
    for folder in std::iter::once(&authority).chain(&folders) {
        // Writing to a string does not fail.
        let _ = writeln!(report, "{folder}");
    }
    Ok(report)
}

/// What must be kept from others.
struct Secrets {
    cluster_keys: Zeroizing<String>,
    api_token: Zeroizing<String>,
    broker: Zeroizing<String>,
    database: Zeroizing<String>,
    database_superuser: Zeroizing<String>,
    ftp: Zeroizing<String>,
    mail: Zeroizing<String>,
    mail_page: Zeroizing<String>,
    grafana: Zeroizing<String>,
}

impl Secrets {
    /// Those of the folder; what is not there is made.
    fn load(folder: &mut Folder) -> Result<Self, InitError> {
        let mut secret = |name: &str| folder.read_or_make(name, || random_secret().map(|secret| secret.to_string()));
        let (api_token, broker) = (secret("api.token")?, secret("broker.password")?);
        let (database, database_superuser) = (secret("database.password")?, secret("database-superuser.password")?);
        let (ftp, mail, mail_page) = (secret("ftp.password")?, secret("mail.password")?, secret("mail-page.password")?);
        let grafana = secret("grafana.password")?;
        let keys = folder.path("cluster.keys");
        if !folder.has("cluster.keys")? {
            keys::generate(&keys)?;
            folder.note_written("cluster.keys");
        }
        let cluster_keys = folder.read("cluster.keys")?;
        Ok(Self { cluster_keys, api_token, broker, database, database_superuser, ftp, mail, mail_page, grafana })
    }

    /// What a service needs, by file name. Files of one value end without a newline.
    fn files_of(&self, service: &str) -> Result<Vec<(&'static str, Zeroizing<String>)>, InitError> {
        let url = |scheme: &str, password: &str, rest: &str| {
            Zeroizing::new(format!("{scheme}://{ACCOUNT}:{password}@{rest}"))
        };
        let database =
            || ("database.url", url("postgres", &self.database, &format!("{DATABASE}/{ACCOUNT}?sslmode=verify-full")));
        let broker = || ("broker.url", url("amqps", &self.broker, &format!("{BROKER}/{ACCOUNT}")));
        let api = || ("api.token", self.api_token.clone());
        let ftp = || ("ftp.password", self.ftp.clone());
        let account = |password: &str| Zeroizing::new(format!("{ACCOUNT}:{password}\n"));
        Ok(match service {
            "web" => vec![("cluster.keys", self.cluster_keys.clone()), api(), database()],
            "manager" => vec![
                api(),
                database(),
                broker(),
                ftp(),
                ("mail.url", url("smtp", &self.mail, &format!("{MAIL}?tls=required"))),
            ],
            BOARD => vec![("cluster.keys", self.cluster_keys.clone())],
            "scraper" => vec![broker(), ftp()],
            "ftp" => vec![ftp()],
            "rabbitmq" => {
                let definitions = rabbitmq::definitions(ACCOUNT, &self.broker)
                    .map_err(|source| InitError::Io { path: "definitions.json".into(), source })?;
                vec![("definitions.json", Zeroizing::new(definitions))]
            }
            "postgres" => vec![
                ("superuser.password", self.database_superuser.clone()),
                ("symphony.password", self.database.clone()),
            ],
            "mail" => vec![("smtp.accounts", account(&self.mail)), ("page.accounts", account(&self.mail_page))],
            "grafana" => vec![("grafana.password", self.grafana.clone())],
            // A certificate is all that Prometheus needs.
            _ => Vec::new(),
        })
    }
}

/// Hexadecimal digits, which need no quoting in a URL or anywhere else.
fn random_secret() -> io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; SECRET_SIZE]);
    getrandom::fill(&mut *bytes).map_err(io::Error::other)?;
    Ok(Zeroizing::new(hex::encode(*bytes)))
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> InitError {
    |source| InitError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt as _};

    use super::*;

    fn options(out: &Path) -> InitOptions {
        InitOptions { out: out.to_owned(), groups: Vec::new(), host: "localhost".into() }
    }

    /// Every file below a folder, with its content.
    fn files(folder: &Path) -> BTreeMap<String, String> {
        fs::read_dir(folder)
            .unwrap()
            .flat_map(|service| fs::read_dir(service.unwrap().path()).unwrap())
            .map(|file| file.unwrap().path())
            .map(|path| (path.strip_prefix(folder).unwrap().display().to_string(), fs::read_to_string(&path).unwrap()))
            .collect()
    }

    #[test]
    fn a_second_run_writes_what_is_missing_from_the_same_secrets() {
        let out = tempfile::tempdir().unwrap();
        let report = write_all(&options(out.path())).unwrap();
        let first = files(out.path());
        assert!(first.len() > 15, "{:?}", first.keys());
        let secrets = first.iter().filter(|(name, _)| name.starts_with("authority/") && !name.ends_with(".pem"));
        for (name, secret) in secrets {
            assert!(secret.len() >= 2 * SECRET_SIZE, "{name}");
            assert!(!report.contains(secret.as_str()), "{name} is in what is printed");
        }
        fs::remove_file(out.path().join("manager/database.url")).unwrap();
        fs::remove_file(out.path().join("ftp/ftp.password")).unwrap();
        fs::write(out.path().join("ftp/ftp.password"), "changed by hand").unwrap();
        let report = write_all(&options(out.path())).unwrap();
        assert!(report.contains("manager: database.url written"), "{report}");
        let mut second = files(out.path());
        let changed = second.insert("ftp/ftp.password".into(), first["ftp/ftp.password"].clone());
        assert_eq!(changed.as_deref(), Some("changed by hand"), "what is there stays");
        assert_eq!(first, second);
    }

    #[test]
    fn runs_at_the_same_time_make_one_deployment() {
        let out = tempfile::tempdir().unwrap();
        let reports = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| write_all(&options(out.path())).unwrap())).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(reports.iter().filter(|report| report.contains("written")).count(), 1, "{reports:#?}");
        let files = files(out.path());
        for (name, secret) in
            [("api.token", "web/api.token"), ("ca.pem", "mail/ca.pem"), ("web.key", "web/certificate.key")]
        {
            assert_eq!(files[&format!("authority/{name}")].trim_end(), files[secret].trim_end(), "{name}");
        }
    }

    #[test]
    fn nobody_gets_what_it_does_not_need() {
        let out = tempfile::tempdir().unwrap();
        write_all(&options(out.path())).unwrap();
        let files = files(out.path());
        let secret = |name: &str| files[&format!("authority/{name}")].trim_end();
        let holders = |secret: &str| -> Vec<&str> {
            let holds = files.iter().filter(|(_, content)| content.contains(secret));
            let mut services: Vec<_> = holds.filter_map(|(name, _)| name.split('/').next()).collect();
            services.dedup();
            services.into_iter().filter(|service| *service != AUTHORITY).collect()
        };
        assert_eq!(holders(secret("cluster.keys")), ["board", "web"]);
        assert_eq!(holders(secret("api.token")), ["manager", "web"]);
        assert_eq!(holders(secret("broker.password")), ["manager", "scraper"], "RabbitMQ has a hash");
        assert_eq!(holders(secret("database.password")), ["manager", "postgres", "web"]);
        assert_eq!(holders(secret("database-superuser.password")), ["postgres"]);
        assert_eq!(holders(secret("ftp.password")), ["ftp", "manager", "scraper"]);
        assert_eq!(holders(secret("mail.password")), ["mail", "manager"]);
        assert_eq!(holders(secret("mail-page.password")), ["mail"]);
        assert_eq!(holders(secret("grafana.password")), ["grafana"]);
        assert!(holders(secret("ca.key")).is_empty(), "nobody but the authority signs");
        for service in SERVICES.into_iter().filter(|service| *service != BOARD) {
            assert_eq!(holders(secret(&format!("{service}.key"))), [service], "its own key, and no other's");
        }
    }

    #[test]
    fn a_folder_is_its_owners_unless_a_group_is_named() {
        let out = tempfile::tempdir().unwrap();
        // The only group that a test may give files to.
        let group = fs::metadata(out.path()).unwrap().gid();
        write_all(&InitOptions { groups: vec![("web".into(), group)], ..options(out.path()) }).unwrap();
        let mode = |path: &str| fs::metadata(out.path().join(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("web"), mode("web/cluster.keys")), (0o750, 0o440));
        assert_eq!((mode("manager"), mode("manager/api.token")), (0o700, 0o400));
        assert_eq!((mode(AUTHORITY), mode("authority/cluster.keys")), (0o700, 0o600));

        write_all(&options(out.path())).unwrap();
        assert_eq!(mode("web"), 0o750, "a run that names no group locks nobody out");
    }

    #[test]
    fn mistakes_are_named() {
        let out = tempfile::tempdir().unwrap();
        let groups = vec![("wep".into(), 1)];
        let error = write_all(&InitOptions { groups, ..options(out.path()) }).unwrap_err().to_string();
        assert!(error.starts_with("there is no service wep; the services are web, "), "{error}");
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0, "nothing was written");
        assert!(parse_group("web").is_err() && parse_group("web=x").is_err());
        let error = write_all(&InitOptions { host: "my host".into(), ..options(out.path()) }).unwrap_err().to_string();
        assert!(error.contains("\"my host\" is not a DNS name"), "{error}");
        fs::remove_dir_all(out.path().join(AUTHORITY)).unwrap();

        fs::create_dir(out.path().join(AUTHORITY)).unwrap();
        fs::write(out.path().join("authority/api.token"), "\n").unwrap();
        let error = write_all(&options(out.path())).unwrap_err().to_string();
        assert!(error.ends_with("api.token: is empty: remove it to have a new secret made"), "{error}");
    }
}
