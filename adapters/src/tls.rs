//! TLS for every protocol: rustls with *ring*, and nothing else.

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
    /// The provider supports no TLS version.
    #[error("no TLS version is available: {0}")]
    Versions(rustls::Error),
}

/// How a client decides whom to trust: the certificate authorities in the PEM file, or Mozilla's if none is given.
///
/// A given file replaces Mozilla's list: whoever runs their own authority means to trust that one alone.
///
/// # Errors
/// [`TlsError`], naming the file.
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let roots = match ca_file {
        Some(path) => read_roots(path)?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn read_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let unreadable = |reason| TlsError::File { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots
            .add(certificate.map_err(unreadable)?)
            .map_err(|reason| TlsError::Certificate { path: path.to_owned(), reason })?;
    }
    if roots.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(roots) }
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
        client_config(None).unwrap();
    }

    #[test]
    fn a_missing_file_is_named_in_the_error() {
        let error = client_config(Some(Path::new("/no/such/ca.pem"))).unwrap_err();
        assert!(error.to_string().contains("/no/such/ca.pem"), "{error}");
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "not a certificate\n").unwrap();
        assert!(matches!(client_config(Some(&path)), Err(TlsError::Empty(_))));
    }

    #[test]
    fn a_broken_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(matches!(client_config(Some(&path)), Err(TlsError::Certificate { .. })));
    }
}
