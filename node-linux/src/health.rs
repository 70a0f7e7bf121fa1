//! `symphony health`: whether a role is ready, for the health check of a container.

use std::{net::SocketAddr, process::ExitCode};

use rustls::ClientConfig;
use symphony_adapters::tls::{self, Tls, TlsError};
use thiserror::Error;
use tokio::runtime;

use crate::{
    cli::{HealthOptions, HealthTarget},
    config::{Config, Role, Sources},
};

/// Bytes of an answer that are shown at most.
const ANSWER_SIZE_MAX: usize = 4096;

/// Why there is no good news.
#[derive(Debug, Error)]
enum HealthError {
    #[error("the role dev has no address of its own: give a URL")]
    NoAddress,
    #[error("no answer: {0}")]
    NoAnswer(String),
    #[error("not ready: {status}\n{body}")]
    NotReady { status: reqwest::StatusCode, body: String },
    #[error("{0}")]
    System(#[from] std::io::Error),
    #[error("[tls]: {0}")]
    Tls(#[from] TlsError),
}

pub(crate) fn run(options: &HealthOptions, sources: &Sources) -> ExitCode {
    let config = match sources.load() {
        Ok(loaded) => loaded.config,
        Err(error) => return crate::refuse(&error),
    };
    let url = match &options.target {
        HealthTarget::Url(url) => Ok(readiness_of(url)),
        HealthTarget::Role(role) => address(&config, *role)
            .map(|address| format!("{}/readyz", base_url(&config, address)))
            .ok_or(HealthError::NoAddress),
    };
    let result = url.and_then(|url| {
        let tls = config.tls.client()?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(ask(&url, options, &tls)).map(|()| url)
    });
    match result {
        Ok(url) => crate::print(&format!("ready: {url}\n")),
        Err(error) => {
            crate::complain(error);
            ExitCode::FAILURE
        }
    }
}

async fn ask(url: &str, options: &HealthOptions, tls: &Tls) -> Result<(), HealthError> {
    let no_answer = |error: reqwest::Error| HealthError::NoAnswer(tls::describe(&error));
    let client = reqwest::Client::builder()
        .timeout(options.timeout)
        .no_proxy()
        .tls_backend_preconfigured(ClientConfig::clone(&tls.client()))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(no_answer)?;
    let mut response = client.get(url).send().await.map_err(no_answer)?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let mut body = Vec::new();
    while body.len() < ANSWER_SIZE_MAX {
        // The status is what counts: a body that breaks off is shown as far as it came.
        let Ok(Some(chunk)) = response.chunk().await else { break };
        body.extend_from_slice(&chunk);
    }
    body.truncate(ANSWER_SIZE_MAX);
    Err(HealthError::NotReady { status, body: String::from_utf8_lossy(&body).into_owned() })
}

/// A URL without a path means the readiness of the server.
fn readiness_of(url: &url::Url) -> String {
    let mut url = url.clone();
    if url.path() == "/" {
        url.set_path("/readyz");
    }
    url.into()
}

/// Where a role answers for its health.
fn address(config: &Config, role: Role) -> Option<SocketAddr> {
    match role {
        Role::Web => Some(config.web.listen),
        Role::Manager => Some(config.manager.listen),
        Role::Scraper => Some(config.scraper.operations),
        Role::Shop => Some(config.shop.listen),
        Role::Ftp => Some(config.ftp_server.operations),
        Role::Node => Some(config.node.operations),
        Role::Dev => None,
    }
}

/// Where the server of a process with this configuration is called on the same machine.
pub(crate) fn base_url(config: &Config, address: SocketAddr) -> String {
    let scheme = if config.tls.certificate.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", reachable(address))
}

/// Nobody can call the address that stands for all addresses.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
