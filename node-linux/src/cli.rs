//! The command line.

use std::{env, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use url::Url;

use crate::{
    cert::CertCommand,
    config::{Role, Setting, Sources},
    init::InitOptions,
    keys::KeyCommand,
    packet::PacketCommand,
};

const EXAMPLES: &str = "\
Examples:
  symphony dev                                      everything in one process, nothing to configure
  symphony --config /etc/symphony.toml web --id 2   web node 2 of a cluster
  symphony scraper --set scraper.every=10min        any key of the file, as a flag
  symphony config example > symphony.toml           a file with every key and its default
  symphony config check web                         is everything there that a web node needs?
  symphony health web                               is it ready? (exit code 0 or 1)
  symphony dlq ls                                   what could not be stored, and why; then dlq show, dlq replay
  symphony mail ls                                  mails that the mail server refused for good; then mail retry
  symphony files ls                                 files that can never be stored; then files retry
  symphony packet decode 1001… --state node.state   what a captured datagram says
  symphony key gen symphony-data/cluster.keys       the key that all members of a new cluster get
  symphony cert dev --out certs --name web1         a private authority, and a certificate for the host web1
  symphony trace 4fae80                             where an item has been, with times

Configuration, from the strongest:
  a flag                  --set node.id=2, or one of the role's own flags; an empty value puts the default back
  the environment         SYMPHONY_NODE__ID=2; an empty variable sets nothing
  the file                symphony.toml in the working directory, or --config FILE, or SYMPHONY_CONFIG=FILE
  the default             symphony config example
A value that stands in a file of its own, such as a secret: SYMPHONY_DATABASE__URL_FILE=/run/secrets/database, or
url_file = \"/run/secrets/database\" in the file.

Exit codes: 0 ended as asked, 1 failed, 2 wrong command line, 78 wrong configuration, 130 or 143 ended by a second
signal.";

/// Keeps one leader among a set of machines, and runs a data pipeline that only that leader may write for.
#[derive(Debug, Parser)]
#[command(name = "symphony", version, after_long_help = EXAMPLES, subcommand_required = true)]
#[command(after_help = "More, with examples: symphony --help")]
pub(crate) struct Cli {
    #[command(flatten)]
    options: Options,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options before or after the command; those after it are stronger.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Configuration file [default: symphony.toml in the working directory, if there is one]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key, such as node.id=2; lists and tables as in TOML
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<Setting>,
    /// Form of the log
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    log_format: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Role(RoleCommand),
    /// Check or show the configuration, secrets left out
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Ask a role on this machine whether it is ready: exit code 0 if so, 1 if not
    Health(HealthOptions),
    /// Dead letters: messages that could not be stored, each with its reason; needs api.token
    Dlq {
        /// What to do with them.
        #[command(subcommand)]
        command: DlqCommand,
    },
    /// Dead mails: those that the mail server refused for good, each with its reason; needs api.token
    Mail {
        /// What to do with them.
        #[command(subcommand)]
        command: MailCommand,
    },
    /// Dead files: those on the FTP server that no leader will ever take, each with its reason; needs api.token
    Files {
        /// What to do with them.
        #[command(subcommand)]
        command: FilesCommand,
    },
    /// Make, change or show the cluster's keys
    Key {
        /// What to do with them.
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Make certificates for TLS
    Cert {
        /// Which.
        #[command(subcommand)]
        command: CertCommand,
    },
    /// Make every secret of a new deployment, in a folder for each service; never overwrites one
    Init(InitOptions),
    /// Where an item has been: scraped, queued, delivered, stored, filed, mailed, with times
    Trace(TraceOptions),
    /// Look into a datagram of the election
    Packet {
        /// What to do with it.
        #[command(subcommand)]
        command: PacketCommand,
    },
}

/// A role to play, with its own flags.
#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// Web node: the shared database's face; the leader among the nodes writes
    Web(WebOptions),
    /// Manager: takes items and files to the leader, and users to it
    Manager(ManagerOptions),
    /// Scraper: reads the configured sites and publishes what is new
    Scraper(ScraperOptions),
    /// Demonstration shop: a site to scrape
    Shop(ShopOptions),
    /// FTP server
    Ftp(FtpOptions),
    /// Election only, with a program run on every change of leadership
    Node(NodeOptions),
    /// Everything in one process on embedded parts, three web nodes among it
    Dev(DevOptions),
}

#[derive(Debug, Args)]
pub(crate) struct WebOptions {
    #[command(flatten)]
    options: Options,
    /// Our id among the members (node.id)
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// HTTP address to listen on (web.listen)
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Base URL at which others reach this node (web.url)
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ManagerOptions {
    #[command(flatten)]
    options: Options,
    /// HTTP address to listen on (manager.listen)
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Base URL of a web node; once for each (manager.web)
    #[arg(long, value_name = "URL")]
    web: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ScraperOptions {
    #[command(flatten)]
    options: Options,
    /// Time from the end of a run to the start of the next, such as 10min (scraper.every)
    #[arg(long, value_name = "DURATION", conflicts_with = "once")]
    every: Option<String>,
    /// One run, whatever scraper.every says
    #[arg(long)]
    once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShopOptions {
    #[command(flatten)]
    options: Options,
    /// HTTP address to listen on (shop.listen)
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Number of products (shop.products)
    #[arg(long, value_name = "NUMBER")]
    products: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FtpOptions {
    #[command(flatten)]
    options: Options,
    /// Address of the control connection to listen on (ftp_server.listen)
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Folder served (ftp_server.root)
    #[arg(long, value_name = "FOLDER")]
    root: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct NodeOptions {
    #[command(flatten)]
    options: Options,
    /// Our id among the members (node.id)
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// UDP address to listen on (node.listen)
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Program run on every change of leadership (node.hook)
    #[arg(long, value_name = "PROGRAM")]
    hook: Option<String>,
}

/// How `dev` runs.
#[derive(Debug, Args)]
pub(crate) struct DevOptions {
    #[command(flatten)]
    options: Options,
    /// Folder of everything it keeps
    #[arg(long, value_name = "DIR", default_value = "symphony-data")]
    pub(crate) data: PathBuf,
    /// End after one full pass: exit code 0, or 1 saying what did not arrive
    #[arg(long)]
    pub(crate) once: bool,
    /// Print the result as JSON
    #[arg(long, requires = "once")]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether the configuration is valid, and who set what; exit code 78 with all that is wrong if not
    Check(InspectOptions),
    /// Print the effective configuration, secrets left out
    Show(InspectOptions),
    /// Print a file with every key and its default
    Example,
}

#[derive(Debug, Args)]
pub(crate) struct InspectOptions {
    #[command(flatten)]
    options: Options,
    /// Also check for what this role cannot do without
    #[arg(value_enum)]
    role: Option<Role>,
}

/// Whom to ask, and for how long.
#[derive(Debug, Args)]
pub(crate) struct HealthOptions {
    #[command(flatten)]
    options: Options,
    /// Role, at its address in the configuration, or URL; /readyz is asked unless the URL has a path
    #[arg(value_name = "ROLE|URL", value_parser = parse_target)]
    pub(crate) target: HealthTarget,
    /// Time to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List them, the oldest first
    Ls {
        #[command(flatten)]
        manager: ManagerTarget,
        /// Letters at most
        #[arg(long, value_name = "NUMBER", default_value_t = 50)]
        limit: usize,
    },
    /// Show one, with its body
    Show {
        #[command(flatten)]
        manager: ManagerTarget,
        /// Id of the message
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Put one, or all, back into the queue
    Replay {
        #[command(flatten)]
        manager: ManagerTarget,
        /// Id of the message
        #[arg(value_name = "ID", required_unless_present = "all")]
        id: Option<String>,
        /// All of them
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MailCommand {
    /// List them, the oldest first
    Ls {
        #[command(flatten)]
        manager: ManagerTarget,
        /// Mails at most
        #[arg(long, value_name = "NUMBER", default_value_t = 50)]
        limit: usize,
    },
    /// Put one, or all, back into the outbox
    Retry {
        #[command(flatten)]
        manager: ManagerTarget,
        /// Number of the mail
        #[arg(value_name = "ID", required_unless_present = "all")]
        id: Option<i64>,
        /// All of them
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum FilesCommand {
    /// List them, the oldest first
    Ls {
        #[command(flatten)]
        manager: ManagerTarget,
        /// Files at most
        #[arg(long, value_name = "NUMBER", default_value_t = 50)]
        limit: usize,
    },
    /// Have one, or all, fetched again, or forgotten if it is not on the server any more
    Retry {
        #[command(flatten)]
        manager: ManagerTarget,
        /// Path of the file
        #[arg(value_name = "PATH", required_unless_present = "all")]
        path: Option<String>,
        /// All of them
        #[arg(long, conflicts_with = "path")]
        all: bool,
    },
}

/// Which item to trace.
#[derive(Debug, Args)]
pub(crate) struct TraceOptions {
    #[command(flatten)]
    pub(crate) manager: ManagerTarget,
    /// Id of the item
    #[arg(value_name = "ITEM")]
    pub(crate) item: String,
    /// Base URL of the scraper (scraper.operations), which knows of items on their way to the queue and in it
    #[arg(long, value_name = "URL")]
    pub(crate) scraper: Option<Url>,
}

/// Which manager to ask, and how to say what it answers.
#[derive(Debug, Args)]
pub(crate) struct ManagerTarget {
    #[command(flatten)]
    options: Options,
    /// Base URL of the manager [default: this machine, at manager.listen]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<Url>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl DlqCommand {
    /// The manager to ask.
    pub(crate) fn manager(&self) -> &ManagerTarget {
        match self {
            Self::Ls { manager, .. } | Self::Show { manager, .. } | Self::Replay { manager, .. } => manager,
        }
    }
}

impl MailCommand {
    /// The manager to ask.
    pub(crate) fn manager(&self) -> &ManagerTarget {
        match self {
            Self::Ls { manager, .. } | Self::Retry { manager, .. } => manager,
        }
    }
}

impl FilesCommand {
    /// The manager to ask.
    pub(crate) fn manager(&self) -> &ManagerTarget {
        match self {
            Self::Ls { manager, .. } | Self::Retry { manager, .. } => manager,
        }
    }
}

/// Whom to ask for its health.
#[derive(Clone, Debug)]
pub(crate) enum HealthTarget {
    Role(Role),
    Url(Url),
}

impl Cli {
    /// Where the configuration of this process comes from.
    pub(crate) fn sources(&self) -> Sources {
        let (inner, role, own) = match &self.command {
            Command::Role(command) => (Some(command.options()), Some(command.role()), command.settings()),
            Command::Config { command: ConfigCommand::Check(inspect) | ConfigCommand::Show(inspect) } => {
                (Some(&inspect.options), inspect.role, Vec::new())
            }
            Command::Config { command: ConfigCommand::Example }
            | Command::Cert { .. }
            | Command::Key { .. }
            | Command::Init(_)
            | Command::Packet { .. } => (None, None, Vec::new()),
            Command::Health(health) => (Some(&health.options), None, Vec::new()),
            Command::Trace(trace) => (Some(&trace.manager.options), None, Vec::new()),
            Command::Dlq { command } => (Some(&command.manager().options), None, Vec::new()),
            Command::Mail { command } => (Some(&command.manager().options), None, Vec::new()),
            Command::Files { command } => (Some(&command.manager().options), None, Vec::new()),
        };
        let levels = || std::iter::once(&self.options).chain(inner);
        Sources {
            file: levels().filter_map(|options| options.config.clone()).next_back(),
            variables: env::vars_os().collect(),
            settings: levels().flat_map(Options::settings).chain(own).collect(),
            role,
        }
    }
}

impl Options {
    fn settings(&self) -> impl Iterator<Item = Setting> {
        let format = setting("--log-format", "log.format", self.log_format.as_ref());
        self.settings.iter().cloned().chain(format)
    }
}

impl RoleCommand {
    /// The role it plays.
    pub(crate) fn role(&self) -> Role {
        match self {
            Self::Web(_) => Role::Web,
            Self::Manager(_) => Role::Manager,
            Self::Scraper(_) => Role::Scraper,
            Self::Shop(_) => Role::Shop,
            Self::Ftp(_) => Role::Ftp,
            Self::Node(_) => Role::Node,
            Self::Dev(_) => Role::Dev,
        }
    }

    fn options(&self) -> &Options {
        match self {
            Self::Web(web) => &web.options,
            Self::Manager(manager) => &manager.options,
            Self::Scraper(scraper) => &scraper.options,
            Self::Shop(shop) => &shop.options,
            Self::Ftp(ftp) => &ftp.options,
            Self::Node(node) => &node.options,
            Self::Dev(dev) => &dev.options,
        }
    }

    /// The role's own flags as keys.
    fn settings(&self) -> Vec<Setting> {
        let settings = match self {
            Self::Web(web) => vec![
                setting("--id", "node.id", web.id.as_ref()),
                setting("--listen", "web.listen", web.listen.as_ref()),
                setting("--url", "web.url", web.url.as_ref()),
            ],
            Self::Manager(manager) => {
                let web = (!manager.web.is_empty()).then(|| toml::Value::from(manager.web.clone()).to_string());
                vec![
                    setting("--listen", "manager.listen", manager.listen.as_ref()),
                    setting("--web", "manager.web", web.as_ref()),
                ]
            }
            Self::Scraper(scraper) => {
                let never = scraper.once.then(String::new);
                vec![
                    setting("--every", "scraper.every", scraper.every.as_ref()),
                    setting("--once", "scraper.every", never.as_ref()),
                ]
            }
            Self::Shop(shop) => vec![
                setting("--listen", "shop.listen", shop.listen.as_ref()),
                setting("--products", "shop.products", shop.products.as_ref()),
            ],
            Self::Ftp(ftp) => vec![
                setting("--listen", "ftp_server.listen", ftp.listen.as_ref()),
                setting("--root", "ftp_server.root", ftp.root.as_ref()),
            ],
            Self::Node(node) => vec![
                setting("--id", "node.id", node.id.as_ref()),
                setting("--listen", "node.listen", node.listen.as_ref()),
                setting("--hook", "node.hook", node.hook.as_ref()),
            ],
            Self::Dev(_) => Vec::new(),
        };
        settings.into_iter().flatten().collect()
    }
}

fn setting(flag: &str, key: &str, value: Option<&String>) -> Option<Setting> {
    value.map(|value| Setting { flag: flag.to_owned(), key: key.to_owned(), value: value.clone() })
}

fn parse_setting(text: &str) -> Result<Setting, String> {
    let (key, value) = text.split_once('=').ok_or("expected SECTION.KEY=VALUE")?;
    Ok(Setting { flag: format!("--set {key}"), key: key.to_owned(), value: value.to_owned() })
}

fn parse_target(text: &str) -> Result<HealthTarget, String> {
    use clap::ValueEnum as _;
    if let Ok(role) = Role::from_str(text, false) {
        return Ok(HealthTarget::Role(role));
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(HealthTarget::Url(url)),
        _ => Err("expected a role, http://… or https://…".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_before_the_command_stay_when_others_follow_it() {
        let cli = Cli::parse_from(["symphony", "--set", "a.b=1", "web", "--set", "a.c=2", "--id", "3"]);
        let settings = cli.sources().settings;
        let keys: Vec<_> = settings.iter().map(|setting| (setting.key.as_str(), setting.value.as_str())).collect();
        assert_eq!(keys, [("a.b", "1"), ("a.c", "2"), ("node.id", "3")]);
    }
}
