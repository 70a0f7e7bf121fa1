//! What runs where: the usual ports, or free ones where those are taken, and one folder for all data.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    time::Duration,
};

use symphony_adapters::ftp_server::FtpServer;
use tokio::net::TcpListener;

use crate::{
    config::{Config, Member, MemberKind, Secret},
    ftp,
    roles::{RunError, listen},
    shop,
};

/// Web nodes, by id.
const NODES: [u16; 3] = [1, 2, 3];

/// Time between looks at the file server, and between runs of the scraper: somebody is watching.
const FTP_EVERY: Duration = Duration::from_secs(2);
const SCRAPE_EVERY: Duration = Duration::from_secs(30);

/// Prices change faster than in a real shop.
const PRICE_CHANGE_EVERY: Duration = Duration::from_secs(20);

/// A web node that can be started again and again.
pub(super) struct PlannedNode {
    pub(super) config: Config,
    pub(super) address: SocketAddr,
}

/// Sockets taken, configuration made.
pub(super) struct Plan {
    pub(super) data: PathBuf,
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
        let addresses_of_web = [take(8081).await?, take(8082).await?, take(8083).await?];

        config.broker.url = Secret::from(sqlite(data, "queue.db"));
        config.database.url = Secret::from(sqlite(data, "symphony.db"));
        config.mail.url = Some(Secret::from(format!("file:{}", data.join("mail").display())));
        if config.mail.to.is_empty() {
            config.mail.to = vec!["you@localhost".into()];
        }

        config.ftp_server.password = Secret::from(random_password()?);
        config.ftp_server.root = data.join("ftp");
        (config.ftp_server.passive_port_min, config.ftp_server.passive_port_max) = (0, 0);
        let ftp = bind_ftp(&mut config).await?;
        config.ftp.address = ftp.local_address().to_string();
        config.ftp.user.clone_from(&config.ftp_server.user);
        config.ftp.password = config.ftp_server.password.clone();

        let addresses = Addresses {
            shop: shop.local_addr()?,
            ftp: ftp.local_address(),
            manager: manager.local_addr()?,
            control: control.local_addr()?,
        };
        config.shop.price_change_every = PRICE_CHANGE_EVERY;
        config.scraper.state = data.join("scraper");
        config.scraper.every.get_or_insert(SCRAPE_EVERY);
        if config.scraper.sites.is_empty() {
            config.scraper.sites = vec![shop::site(&format!("http://{}", addresses.shop))];
        }
        config.manager.ftp_every = config.manager.ftp_every.min(FTP_EVERY);
        let web: Vec<SocketAddr> = addresses_of_web.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        config.manager.web = web.iter().map(|address| format!("http://{address}")).collect();
        config.web.managers = vec![format!("http://{}", addresses.manager)];
        let nodes = plan_nodes(data, &mut config, &web)?;
        Ok(Self { data: data.to_owned(), config, nodes, shop, ftp, manager, control, addresses })
    }
}

fn plan_nodes(data: &Path, config: &mut Config, web: &[SocketAddr]) -> Result<BTreeMap<u16, PlannedNode>, RunError> {
    let mut elections = BTreeMap::new();
    for id in NODES {
        elections.insert(id, free_udp_address(7400 + id)?);
    }
    config.node.cluster = "dev".into();
    config.node.members = elections
        .iter()
        .map(|(id, address)| Member { id: *id, address: address.to_string(), kind: MemberKind::Voter, priority: 0 })
        .collect();
    Ok(elections
        .into_iter()
        .zip(web)
        .map(|((id, election), address)| {
            let mut config = config.clone();
            config.node.id = id;
            config.node.listen = election;
            config.node.state = data.join(format!("node-{id}.state"));
            config.web.listen = *address;
            (id, PlannedNode { config, address: *address })
        })
        .collect())
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

/// An address for a socket that is opened later, and again after a stop, so it cannot be held until then.
fn free_udp_address(port: u16) -> io::Result<SocketAddr> {
    UdpSocket::bind(loopback(port)).or_else(|_| UdpSocket::bind(loopback(0)))?.local_addr()
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn sqlite(data: &Path, name: &str) -> String {
    format!("sqlite:{}", data.join(name).display())
}

fn random_password() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(hex::encode(bytes))
}
