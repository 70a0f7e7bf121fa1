//! TLS for every protocol: rustls with *ring*, and nothing else.

mod identity;
mod refusal;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem, pem::PemObject as _},
};
use thiserror::Error;

pub use self::{
    identity::Identity,
    refusal::{Refusal, describe},
};

/// Makes *ring* the process's cryptography. Called first thing in `main`; calling it again is harmless.
///
/// Without it rustls panics at run time as soon as a second provider, or none, is compiled in.
pub fn install_provider() {
    if CryptoProvider::get_default().is_none() {
        // The only error says that another thread was faster.
        let _ = ring::default_provider().install_default();
    }
}

/// Why no TLS configuration could be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file is missing, unreadable or not PEM.
    #[error("cannot read certificates from {path}: {reason}", path = .path.display())]
    File {
        /// What was read.
        path: PathBuf,
        /// What went wrong.
        reason: pem::Error,
    },
    /// The file is PEM without a single certificate.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// A certificate in the file cannot be a trust anchor.
    #[error("a certificate in {path} cannot be trusted: {reason}", path = .path.display())]
    Certificate {
        /// What was read.
        path: PathBuf,
        /// What went wrong.
        reason: rustls::Error,
    },
    /// The file of the private key cannot be read.
    #[error("cannot read the private key {path}: {reason}", path = .path.display())]
    Key {
        /// What was read.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// Others than its owner may read or change the private key.
    #[error(
        "{path}: others may read or change the private key (mode {mode:04o}); run: chmod 600 {path} (a secret mounted by \
         Docker or Kubernetes: set its mode to 0440, owned by root)",
        path = .path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Certificate and key do not belong together, or cannot be used.
    #[error("{certificate} with {key}: {reason}", certificate = .certificate.display(), key = .key.display())]
    Identity {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// What is wrong.
        reason: rustls::Error,
    },
    /// The provider supports no TLS version.
    #[error("no TLS version is available: {0}")]
    Versions(rustls::Error),
}

/// How a process protects its connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tls {
    client: Arc<ClientConfig>,
    authorities: Option<Authorities>,
    identity: Option<Identity>,
}

/// The authorities that somebody chose.
#[derive(Clone, Debug)]
struct Authorities {
    file: Arc<Path>,
    certificates: Arc<[CertificateDer<'static>]>,
}

impl Tls {
    /// Trusts the authorities in the PEM file `ca`, or Mozilla's list if none is given, and has no certificate.
    ///
    /// A given file replaces Mozilla's list: whoever runs their own authority means to trust that one alone.
    ///
    /// # Errors
    /// [`TlsError`], naming the file.
    pub fn new(ca: Option<&Path>) -> Result<Self, TlsError> {
        let authorities = ca.map(Authorities::read).transpose()?;
        let roots = match &authorities {
            Some(authorities) => authorities.store()?,
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Versions)?;
        let client = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        Ok(Self { client, authorities, identity: None })
    }

    /// The same, with a certificate of our own for whoever connects to us.
    #[must_use]
    pub fn with_identity(self, identity: Identity) -> Self {
        Self { identity: Some(identity), ..self }
    }

    /// How we connect to others.
    #[must_use]
    pub fn client(&self) -> Arc<ClientConfig> {
        self.client.clone()
    }

    /// How others connect to us; `None`: unencrypted.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// File of the authorities, if one was given.
    #[must_use]
    pub fn ca(&self) -> Option<&Path> {
        self.authorities.as_ref().map(|authorities| &*authorities.file)
    }

    /// The authorities of that file, as DER; none: Mozilla's.
    #[must_use]
    pub fn authorities(&self) -> &[CertificateDer<'static>] {
        self.authorities.as_ref().map_or(&[], |authorities| &authorities.certificates)
    }
}

impl Authorities {
    fn read(path: &Path) -> Result<Self, TlsError> {
        let certificates = read_certificates(path)?;
        Ok(Self { file: path.into(), certificates: certificates.into() })
    }

    fn store(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in &*self.certificates {
            roots
                .add(certificate.clone())
                .map_err(|reason| TlsError::Certificate { path: self.file.to_path_buf(), reason })?;
        }
        Ok(roots)
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |reason| TlsError::File { path: path.to_owned(), reason };
    let certificates = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    if certificates.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(certificates) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_the_provider_twice_is_harmless() {
        install_provider();
        install_provider();
        assert!(CryptoProvider::get_default().is_some());
    }

    #[test]
    fn without_a_file_the_public_authorities_are_trusted() {
        Tls::new(None).unwrap();
    }

    #[test]
    fn a_missing_file_is_named_in_the_error() {
        let error = Tls::new(Some(Path::new("/no/such/ca.pem"))).unwrap_err();
        assert!(error.to_string().contains("/no/such/ca.pem"), "{error}");
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "not a certificate\n").unwrap();
        assert!(matches!(Tls::new(Some(&path)), Err(TlsError::Empty(_))));
    }

    #[test]
    fn a_broken_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(matches!(Tls::new(Some(&path)), Err(TlsError::Certificate { .. })));
    }
}
