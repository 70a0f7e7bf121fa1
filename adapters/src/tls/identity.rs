//! A process's own certificate and private key.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
};

use super::{TlsError, read_certificates};
use crate::secret::is_exposed;

/// Bytes of the longest key file that is read.
const KEY_SIZE_MAX: u64 = 64 * 1024;

/// Who we are to those that connect to us. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identity {
    http: Arc<ServerConfig>,
    certificate: Arc<Path>,
    key: Arc<Path>,
}

impl Identity {
    /// Reads the PEM files of a certificate, with what leads from it to its authority, and of its private key.
    ///
    /// Only the key's owner may have any right to its file. One that root owns may also be read by its group, because
    /// that is how Docker and Kubernetes mount a secret (mode 0440).
    ///
    /// # Errors
    /// [`TlsError`], naming the file.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = read_certificates(certificate)?;
        let private = read_key(key)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Versions)?;
        let mut config = config.with_no_client_auth().with_single_cert(chain, private).map_err(|reason| {
            TlsError::Identity { certificate: certificate.to_owned(), key: key.to_owned(), reason }
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { http: Arc::new(config), certificate: certificate.into(), key: key.into() })
    }

    /// How an HTTP server uses it.
    #[must_use]
    pub fn http(&self) -> Arc<ServerConfig> {
        self.http.clone()
    }

    /// File of the certificate.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// File of the private key.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let unreadable = |error: io::Error| TlsError::Key { path: path.to_owned(), reason: error.to_string() };
    let mut file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if is_exposed(metadata.mode(), metadata.uid()) {
        return Err(TlsError::Exposed { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
    }
    let mut text = Vec::new();
    file.by_ref().take(KEY_SIZE_MAX).read_to_end(&mut text).map_err(unreadable)?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| TlsError::Key { path: path.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    /// A folder with the certificate and key of `names`.
    fn files(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let made = rcgen::generate_simple_self_signed([(*name).to_owned()]).unwrap();
            fs::write(folder.path().join(format!("{name}.pem")), made.cert.pem()).unwrap();
            let key = folder.path().join(format!("{name}.key"));
            fs::write(&key, made.signing_key.serialize_pem()).unwrap();
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        }
        folder
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_and_the_remedy_named() {
        let folder = files(&["web1"]);
        let (certificate, key) = (folder.path().join("web1.pem"), folder.path().join("web1.key"));
        Identity::read(&certificate, &key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let error = Identity::read(&certificate, &key).unwrap_err();
        assert!(matches!(error, TlsError::Exposed { mode: 0o644, .. }), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn the_key_of_another_certificate_is_refused() {
        let folder = files(&["web1", "web2"]);
        let error = Identity::read(&folder.path().join("web1.pem"), &folder.path().join("web2.key")).unwrap_err();
        assert!(matches!(error, TlsError::Identity { .. }), "{error}");
    }

    #[test]
    fn a_file_without_a_key_is_named() {
        let folder = files(&["web1"]);
        let certificate = folder.path().join("web1.pem");
        fs::set_permissions(&certificate, fs::Permissions::from_mode(0o600)).unwrap();
        let error = Identity::read(&certificate, &certificate).unwrap_err();
        assert!(error.to_string().contains("web1.pem"), "{error}");
    }
}
