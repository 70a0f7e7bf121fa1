//! A private authority and certificates for servers, good and bad.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, Issuer, KeyPair, date_time_ymd};
use symphony::cert::{CertName, make};
use symphony_adapters::tls::{Identity, Tls};
use tempfile::TempDir;

/// A certificate and its private key, as files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// PEM, with the authority's.
    pub certificate: PathBuf,
    /// PEM, for its owner alone.
    pub key: PathBuf,
}

/// An authority with what it has certified.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// A new authority, as `symphony cert dev` makes it, and a certificate `server` for this machine.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        make(folder.path(), &[CertName::parse("server").expect("a name")]).expect("certificates");
        Self { folder }
    }

    /// File of the authority.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// What a client knows that trusts the authority.
    ///
    /// # Panics
    /// If the file cannot be read.
    #[must_use]
    pub fn client(&self) -> Tls {
        Tls::new(Some(&self.ca())).expect("an authority")
    }

    /// For `localhost`, `127.0.0.1` and `::1`.
    #[must_use]
    pub fn good(&self) -> Certificate {
        self.at("server")
    }

    /// For `localhost`, and not for any address.
    #[must_use]
    pub fn nameless(&self) -> Certificate {
        self.sign("nameless", "localhost", |_| {})
    }

    /// For `localhost`, until 2021.
    #[must_use]
    pub fn expired(&self) -> Certificate {
        self.sign("expired", "localhost", |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    fn at(&self, name: &str) -> Certificate {
        let file = |extension: &str| self.folder.path().join(format!("{name}.{extension}"));
        Certificate { certificate: file("pem"), key: file("key") }
    }

    fn sign(&self, file: &str, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let text = |name: &str| fs::read_to_string(self.folder.path().join(name)).expect("the authority");
        let ca = KeyPair::from_pem(&text("ca.key")).expect("the authority's key");
        let issuer = Issuer::from_ca_cert_pem(&text("ca.pem"), ca).expect("the authority's certificate");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &issuer).expect("a certificate");
        let made = self.at(file);
        fs::write(&made.certificate, signed.pem()).expect("a file");
        fs::write(&made.key, key.serialize_pem()).expect("a file");
        fs::set_permissions(&made.key, fs::Permissions::from_mode(0o600)).expect("our own file");
        made
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificate {
    /// As our own servers use it.
    ///
    /// # Panics
    /// If it cannot be used.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity::read(&self.certificate, &self.key).expect("a certificate")
    }

    /// Copies both files into `folder`, for a server that wants them there.
    ///
    /// # Panics
    /// If they cannot be copied.
    pub fn copy_to(&self, folder: &Path, [certificate, key]: [&str; 2]) {
        fs::copy(&self.certificate, folder.join(certificate)).expect("a copy of the certificate");
        fs::copy(&self.key, folder.join(key)).expect("a copy of the key");
    }
}
