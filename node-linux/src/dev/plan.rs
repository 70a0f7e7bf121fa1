//! What runs where: the usual ports, or free ones where those are taken, and one folder for all data.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use symphony_adapters::ftp_server::FtpServer;
use tokio::net::{TcpListener, TcpSocket};

use crate::{
    config::{self, Config, Member, MemberKind, Secret},
    election::ElectionError,
    ftp, keys,
    roles::{RunError, listen},
    shop,
};

/// Web nodes, by id.
const NODES: [u16; 3] = [1, 2, 3];

/// Time between looks at the file server, and between runs of the scraper: somebody is watching.
const FTP_EVERY: Duration = Duration::from_secs(1);
const SCRAPE_EVERY: Duration = Duration::from_secs(30);

/// File, among the data, of the token of this run.
const TOKEN_FILE: &str = "api.token";

/// Prices change faster than in a real shop, unless told.
const PRICE_CHANGE_EVERY: Duration = Duration::from_secs(20);

/// Ports tried at most for each address of a web node, and the distance between them. None is among those that the
/// system gives to whoever connects: the node must get it back after a stop.
const PORTS_TRIED_MAX: u16 = 100;
const PORTS_APART: u16 = 100;

/// A web node that can be started again and again.
pub(super) struct PlannedNode {
    pub(super) config: Config,
    pub(super) address: SocketAddr,
    /// For the first start: until then nobody else can take the address.
    pub(super) listener: TcpListener,
    pub(super) held: HeldPorts,
}

/// Keeps the ports of a node that is stopped from other processes of this role. The ports themselves cannot be held:
/// nobody must answer there, and the node must get them back. What is held is the other protocol's port of the same
/// number, which every process of this role takes as well.
pub(super) struct HeldPorts {
    _of_web: UdpSocket,
    _of_election: TcpSocket,
}

/// Sockets taken, configuration made.
pub(super) struct Plan {
    pub(super) data: PathBuf,
    /// For whoever wants to change something over HTTP.
    pub(super) token_file: PathBuf,
    pub(super) config: Config,
    pub(super) nodes: BTreeMap<u16, PlannedNode>,
    pub(super) shop: TcpListener,
    pub(super) ftp: FtpServer,
    pub(super) manager: TcpListener,
    pub(super) control: TcpListener,
    pub(super) addresses: Addresses,
}

/// For people to read.
pub(super) struct Addresses {
    pub(super) shop: SocketAddr,
    pub(super) ftp: SocketAddr,
    pub(super) manager: SocketAddr,
    pub(super) control: SocketAddr,
}

impl Plan {
    /// Takes what the configuration says about shop, manager and sites, and puts everything else on this machine.
    pub(super) async fn make(data: &Path, mut config: Config) -> Result<Self, RunError> {
        fs::create_dir_all(data)?;
        let shop = take(8093).await?;
        let manager = take(8000).await?;
        let control = take(8099).await?;
        let web = [hold_web(8081).await?, hold_web(8082).await?, hold_web(8083).await?];

        config.broker.url = Secret::from(sqlite(data, "queue.db"));
        config.database.url = Secret::from(sqlite(data, "symphony.db"));
        config.mail.url = Some(Secret::from(format!("file:{}", data.join("mail").display())));
        if config.mail.to.is_empty() {
            config.mail.to = vec!["you@localhost".into()];
        }

        config.api.token = Secret::from(random_secret()?);
        config.ftp_server.password = Secret::from(random_secret()?);
        config.ftp_server.root = data.join("ftp");
        (config.ftp_server.passive_port_min, config.ftp_server.passive_port_max) = (0, 0);
        let ftp = bind_ftp(&mut config).await?;
        config.ftp.address = ftp.local_address().to_string();
        config.ftp.tls = config::FtpTls::None;
        config.ftp.user.clone_from(&config.ftp_server.user);
        config.ftp.password = config.ftp_server.password.clone();

        let addresses = Addresses {
            shop: shop.local_addr()?,
            ftp: ftp.local_address(),
            manager: manager.local_addr()?,
            control: control.local_addr()?,
        };
        if config.shop.price_change_every == config::Shop::default().price_change_every {
            config.shop.price_change_every = PRICE_CHANGE_EVERY;
        }
        config.scraper.state = data.join("scraper");
        config.scraper.every.get_or_insert(SCRAPE_EVERY);
        if config.scraper.sites.is_empty() {
            config.scraper.sites = vec![shop::site(&format!("http://{}", addresses.shop))];
        }
        config.manager.ftp_every = config.manager.ftp_every.min(FTP_EVERY);
        config.manager.web.clear();
        for (listener, _) in &web {
            config.manager.web.push(format!("http://{}", listener.local_addr()?));
        }
        config.web.managers = vec![format!("http://{}", addresses.manager)];
        let nodes = plan_nodes(data, &mut config, web)?;
        Ok(Self {
            data: data.to_owned(),
            config,
            nodes,
            shop,
            ftp,
            manager,
            control,
            addresses,
            token_file: data.join(TOKEN_FILE),
        })
    }

    /// Tells people the token of this run, once the data are known to be nobody else's.
    pub(super) fn write_token(&self) -> io::Result<()> {
        write_secret(&self.token_file, self.config.api.token.expose())
    }
}

fn plan_nodes(
    data: &Path,
    config: &mut Config,
    web: [(TcpListener, UdpSocket); NODES.len()],
) -> Result<BTreeMap<u16, PlannedNode>, RunError> {
    config.node.cluster = "dev".into();
    config.node.keys = data.join("cluster.keys");
    if !config.node.keys.exists() {
        keys::generate(&config.node.keys).map_err(ElectionError::from)?;
    }
    config.node.members.clear();
    let mut elections = Vec::new();
    for id in NODES {
        let (address, held) = hold_election(7400 + id)?;
        config.node.members.push(Member { id, address: address.to_string(), kind: MemberKind::Voter, priority: 0 });
        elections.push((address, held));
    }
    let mut nodes = BTreeMap::new();
    for ((id, (listener, of_web)), (election, of_election)) in NODES.into_iter().zip(web).zip(elections) {
        let address = listener.local_addr()?;
        let mut config = config.clone();
        config.node.id = id;
        config.node.listen = election;
        config.node.state = data.join(format!("node-{id}.state"));
        config.web.listen = address;
        let held = HeldPorts { _of_web: of_web, _of_election: of_election };
        nodes.insert(id, PlannedNode { config, address, listener, held });
    }
    Ok(nodes)
}

/// The usual port, or any free one.
async fn take(port: u16) -> Result<TcpListener, RunError> {
    match listen(loopback(port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => listen(loopback(0)).await,
    }
}

async fn bind_ftp(config: &mut Config) -> Result<FtpServer, RunError> {
    config.ftp_server.listen = loopback(2121);
    if let Ok(server) = ftp::bind(&config.ftp_server).await {
        return Ok(server);
    }
    config.ftp_server.listen = loopback(0);
    Ok(ftp::bind(&config.ftp_server).await?)
}

/// The usual port of a web node, or the next that is free, with what holds it while the node is stopped.
async fn hold_web(usual: u16) -> Result<(TcpListener, UdpSocket), RunError> {
    let hold = async |port| {
        let listener = listen(loopback(port)).await?;
        Ok((listener, UdpSocket::bind(loopback(port))?))
    };
    let mut held = hold(usual).await;
    for number in 1..PORTS_TRIED_MAX {
        if held.is_ok() {
            break;
        }
        held = hold(usual + number * PORTS_APART).await;
    }
    held
}

/// The usual address of a node's election, or the next that is free, with what holds it until the node opens its socket.
fn hold_election(usual: u16) -> io::Result<(SocketAddr, TcpSocket)> {
    let hold = |port| {
        let held = TcpSocket::new_v4()?;
        held.bind(loopback(port))?;
        UdpSocket::bind(loopback(port))?;
        Ok((loopback(port), held))
    };
    (1..PORTS_TRIED_MAX)
        .fold(hold(usual), |held, number| held.or_else(|_: io::Error| hold(usual + number * PORTS_APART)))
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn sqlite(data: &Path, name: &str) -> String {
    format!("sqlite:{}", data.join(name).display())
}

/// Writes a file that nobody else can read.
fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    // Made anew: the mode of a file that is there already would stay as it is.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(secret.as_bytes())
}

fn random_secret() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(hex::encode(bytes))
}
