//! From settings, a network and a flash to a node that takes part.

use core::{convert::Infallible, net::SocketAddrV4};

use embassy_futures::join::join;
use embassy_net::{IpEndpoint, Ipv4Address, Ipv4Cidr, StackResources, StaticConfigV4, driver::Driver, udp::BindError};
use embassy_time::Instant;
use embedded_storage_async::nor_flash::NorFlash;
use heapless::Vec;
use symphony_core::{ClusterId, Config, ConfigError, Endpoint, KeyRing, Member, NodeId, Saved, Timing};

use crate::{
    board::Board,
    links::{LinkBuffers, Links, SOCKETS},
    node::Node,
    record::Record,
};

/// Members of a cluster that boards are in, at most.
pub const MEMBERS_MAX: usize = 5;

/// Peers of a board, at most.
pub const PEERS_MAX: usize = MEMBERS_MAX - 1;

/// What a board is told of itself and of the others.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster.
    pub cluster: ClusterId,
    /// This board.
    pub id: NodeId,
    /// The members, this board among them, and where each listens.
    pub members: Vec<(Member, SocketAddrV4), MEMBERS_MAX>,
    /// How patient everyone is.
    pub timing: Timing,
    /// The cluster's keys.
    pub keys: KeyRing,
    /// Length of the network's prefix, bits.
    pub prefix_length: u8,
    /// Who forwards to other networks.
    pub gateway: Option<Ipv4Address>,
}

/// Why a board takes no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
#[non_exhaustive]
pub enum StartError {
    /// The settings make no cluster.
    Config(ConfigError),
    /// More peers than there is room for.
    TooManyPeers,
    /// The network does not give the port.
    Port(BindError),
}

/// Takes part for ever: starts with the record `saved` last, or [`Saved::provision`].
///
/// The `seed` is drawn anew at every start. It is no secret; it tells two starts apart even if the second began with an
/// old copy of the record, so a counter kept beside the record does not serve.
///
/// # Errors
/// [`StartError`]: nothing was sent.
pub async fn run<D: Driver, F: NorFlash<Error: defmt::Format>>(
    settings: &Settings,
    driver: D,
    record: Record<F>,
    saved: Saved<PEERS_MAX>,
    seed: u64,
    board: impl Board,
) -> Result<Infallible, StartError> {
    defmt::info!("node {} starts in {} after start {}", settings.id, saved.term, saved.boot);
    let members: Vec<Member, MEMBERS_MAX> = settings.members.iter().map(|(member, _)| *member).collect();
    let config = Config::new(settings.cluster, settings.id, &members, settings.timing, settings.keys.clone(), seed)
        .map_err(StartError::Config)?;

    let own = settings.members.iter().find(|(member, _)| member.id == settings.id).map(|(_, address)| *address);
    let own = own.ok_or(StartError::Config(ConfigError::OwnIdMissing))?;
    let network = embassy_net::Config::ipv4_static(StaticConfigV4 {
        address: Ipv4Cidr::new(*own.ip(), settings.prefix_length),
        gateway: settings.gateway,
        dns_servers: Default::default(),
    });
    let mut resources = StackResources::<SOCKETS>::new();
    let (stack, mut network) = embassy_net::new(driver, network, &mut resources, seed);

    let peers = settings.members.iter().filter(|(member, _)| member.id != settings.id);
    let peers: Vec<(NodeId, IpEndpoint), MEMBERS_MAX> = peers.map(|(peer, at)| (peer.id, (*at).into())).collect();
    let mut buffers = LinkBuffers::new();
    let links = Links::open(stack, &mut buffers, own.port(), &peers)?;
    let endpoint = Endpoint::new(config, saved, Instant::now());
    join(network.run(), Node::new(endpoint, links, record, board).run()).await.0
}
