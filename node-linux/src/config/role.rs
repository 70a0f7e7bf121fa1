//! Roles a process can play.

use clap::ValueEnum;

/// Part this process plays. What must be configured depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Face of the shared database; the leader among its nodes writes.
    Web,
    /// Takes items and files to the leader.
    Manager,
    /// Reads sites.
    Scraper,
    /// Demonstration site to scrape.
    Shop,
    /// FTP server.
    Ftp,
    /// Election only.
    Node,
    /// Everything in one process.
    Dev,
}

impl Role {
    /// Whether it takes part in the election under its own id.
    #[must_use]
    pub fn elects(self) -> bool {
        matches!(self, Self::Web | Self::Node)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Web => "web",
            Self::Manager => "manager",
            Self::Scraper => "scraper",
            Self::Shop => "shop",
            Self::Ftp => "ftp",
            Self::Node => "node",
            Self::Dev => "dev",
        })
    }
}
