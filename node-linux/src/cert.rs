//! `symphony cert dev`: a private authority, and certificates for the machines of one cluster.
//!
//! The authority is `ca.pem` and `ca.key`, a certificate is `NAME.pem` (itself and the authority's) and `NAME.key`.
//! Nothing that exists is overwritten, so whatever prepares a machine may run it again.

mod command;

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

pub(crate) use command::{CertCommand, run};

/// Validity of the authority.
const CA_VALID: Duration = Duration::days(3653);
/// Validity of a certificate: what common clients take at most (Apple's bound of 825 days).
const LEAF_VALID: Duration = Duration::days(825);
/// Certificates hold from this long before now: another machine's clock may be slow.
const BACKDATED: Duration = Duration::hours(1);
/// Base name of the authority's files.
const CA: &str = "ca";

/// A certificate to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertName {
    /// DNS name, and base name of the files.
    name: String,
    /// Further DNS names and IP addresses.
    aliases: Vec<String>,
}

impl CertName {
    /// Reads `NAME[,ALIAS…]`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut names = text.split(',').map(str::trim);
        let name = names.next().unwrap_or_default();
        dns_name(name)?;
        if name == CA {
            return Err("a certificate cannot be called ca: the authority's files are".into());
        }
        let aliases = names.map(|alias| match alias.parse::<IpAddr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => dns_name(alias.strip_prefix("*.").unwrap_or(alias)).map(|()| alias.to_owned()),
        });
        Ok(Self { name: name.to_owned(), aliases: aliases.collect::<Result<_, _>>()? })
    }

    /// Every name the certificate holds for, each once: the name, the aliases, and this machine's own.
    fn holds_for(&self) -> Vec<String> {
        let local = ["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()];
        let mut names = Vec::new();
        for name in std::iter::once(&self.name).chain(&self.aliases).chain(&local) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

/// Whether a text is a DNS name, and so a harmless name of a file.
fn dns_name(text: &str) -> Result<(), String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        Ok(())
    } else {
        Err(format!("{text:?} is not a DNS name, such as web1 or web1.example.org"))
    }
}

/// Why there is no certificate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertError {
    /// The system did not do as asked.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// One of two files that go together is missing.
    #[error(
        "{there} is there and {missing} is not; put it back, or remove {there} to have both made",
        there = .there.display(),
        missing = .missing.display()
    )]
    Half {
        /// The file that exists.
        there: PathBuf,
        /// The file that goes with it.
        missing: PathBuf,
    },
    /// The authority's files are not what they should be.
    #[error("{path}: not an authority that can sign: {source}", path = .path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rcgen::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make the certificate of {name}: {source}")]
    Make {
        /// Whose.
        name: String,
        /// Why not.
        source: rcgen::Error,
    },
}

/// What became of one pair of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was there already.
    Kept,
    /// It was made, and holds until then.
    Made(OffsetDateTime),
}

/// One pair of files after a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Names it holds for; none: it is the authority, or was kept.
    pub names: Vec<String>,
    /// What became of it.
    pub outcome: Outcome,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        match &self.outcome {
            Outcome::Kept => write!(f, "{certificate}, {key}: kept"),
            Outcome::Made(until) if self.names.is_empty() => {
                write!(f, "{certificate}, {key}: new authority, until {}", until.date())
            }
            Outcome::Made(until) => {
                write!(f, "{certificate}, {key}: for {}, until {}", self.names.join(", "), until.date())
            }
        }
    }
}

/// Makes what is missing of an authority and of a certificate for each name in `folder`.
///
/// # Errors
/// [`CertError`]: what was made before stays.
pub fn make(folder: &Path, names: &[CertName]) -> Result<Vec<Made>, CertError> {
    fs::create_dir_all(folder).map_err(|source| CertError::Io { path: folder.to_owned(), source })?;
    let mut done = vec![make_authority(folder)?];
    for name in names {
        done.push(make_leaf(folder, name)?);
    }
    Ok(done)
}

fn make_authority(folder: &Path) -> Result<Made, CertError> {
    let pair = Pair::new(folder, CA);
    if pair.exists()? {
        return Ok(pair.done(Vec::new(), Outcome::Kept));
    }
    let failed = |source| CertError::Make { name: "the authority".into(), source };
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    // Two authorities of one name would be taken for each other, and a refusal would name the wrong reason.
    let tag: String = key.public_key_raw().iter().rev().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name.push(DnType::CommonName, format!("Symphony private authority {tag}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let until = validity(&mut params, CA_VALID);
    let certificate = params.self_signed(&key).map_err(failed)?;
    pair.write(&certificate.pem(), &key.serialize_pem())?;
    Ok(pair.done(Vec::new(), Outcome::Made(until)))
}

fn make_leaf(folder: &Path, name: &CertName) -> Result<Made, CertError> {
    let pair = Pair::new(folder, &name.name);
    if pair.exists()? {
        return Ok(pair.done(Vec::new(), Outcome::Kept));
    }
    let authority = Pair::new(folder, CA);
    let broken = |path: &Path| {
        let path = path.to_owned();
        |source| CertError::Authority { path, source }
    };
    let ca_pem = read(&authority.certificate)?;
    let ca_key = KeyPair::from_pem(&read(&authority.key)?).map_err(broken(&authority.key))?;
    let issuer = Issuer::from_ca_cert_pem(&ca_pem, ca_key).map_err(broken(&authority.certificate))?;

    let failed = |source| CertError::Make { name: name.name.clone(), source };
    let names = name.holds_for();
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(names.clone()).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, name.name.clone());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let until = validity(&mut params, LEAF_VALID);
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    pair.write(&(certificate.pem() + &ca_pem), &key.serialize_pem())?;
    Ok(pair.done(names, Outcome::Made(until)))
}

/// Sets the validity, and returns its end.
fn validity(params: &mut CertificateParams, valid: Duration) -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACKDATED;
    params.not_after = now + valid;
    params.not_after
}

/// A certificate and its key.
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn new(folder: &Path, name: &str) -> Self {
        Self { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) }
    }

    /// Whether both files exist; one alone is an error.
    fn exists(&self) -> Result<bool, CertError> {
        let there = |path: &Path| path.try_exists().map_err(|source| CertError::Io { path: path.to_owned(), source });
        let half = |there: &Path, missing: &Path| {
            Err(CertError::Half { there: there.to_owned(), missing: missing.to_owned() })
        };
        match (there(&self.certificate)?, there(&self.key)?) {
            (true, true) => Ok(true),
            (false, false) => Ok(false),
            (true, false) => half(&self.certificate, &self.key),
            (false, true) => half(&self.key, &self.certificate),
        }
    }

    fn write(&self, certificate: &str, key: &str) -> Result<(), CertError> {
        write_new(&self.key, 0o600, key)?;
        write_new(&self.certificate, 0o644, certificate)
    }

    fn done(self, names: Vec<String>, outcome: Outcome) -> Made {
        Made { certificate: self.certificate, key: self.key, names, outcome }
    }
}

fn read(path: &Path) -> Result<String, CertError> {
    fs::read_to_string(path).map_err(|source| CertError::Io { path: path.to_owned(), source })
}

fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), CertError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| CertError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn names(texts: &[&str]) -> Vec<CertName> {
        texts.iter().map(|text| CertName::parse(text).unwrap()).collect()
    }

    /// Every file of a folder with its content.
    fn content(folder: &Path) -> BTreeMap<String, String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
            .collect()
    }

    #[test]
    fn keys_are_for_their_owner_alone_and_certificates_for_everybody() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), &names(&["web1"])).unwrap();
        for (name, mode) in [("ca.key", 0o600), ("web1.key", 0o600), ("ca.pem", 0o644), ("web1.pem", 0o644)] {
            let rights = fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
            // The process's mask may take more away.
            assert_eq!(rights & !mode, 0, "{name} is {rights:o}");
        }
    }

    #[test]
    fn a_second_run_adds_a_name_and_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), &names(&["web1"])).unwrap();
        let before = content(folder.path());
        let done = make(folder.path(), &names(&["web1", "web2,web2.example.org,10.0.0.2"])).unwrap();
        let after = content(folder.path());
        for (name, text) in &before {
            assert_eq!(after.get(name), Some(text), "{name} was overwritten");
        }
        let added: Vec<_> = after.keys().filter(|name| !before.contains_key(*name)).collect();
        assert_eq!(added, ["web2.key", "web2.pem"]);
        assert_eq!([&done[0].outcome, &done[1].outcome], [&Outcome::Kept, &Outcome::Kept]);
        assert_eq!(done[2].names, ["web2", "web2.example.org", "10.0.0.2", "localhost", "127.0.0.1", "::1"]);
        assert!(after["web2.pem"].ends_with(&after["ca.pem"]), "the chain ends with the first run's authority");
        assert!(done[0].to_string().ends_with(": kept"), "{}", done[0]);
    }

    #[test]
    fn half_a_pair_is_neither_used_nor_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), &names(&["web1"])).unwrap();
        fs::remove_file(folder.path().join("web1.pem")).unwrap();
        let before = content(folder.path());
        let error = make(folder.path(), &names(&["web1"])).unwrap_err();
        assert!(matches!(error, CertError::Half { .. }), "{error}");
        assert!(error.to_string().contains("web1.key is there and "), "{error}");
        assert_eq!(content(folder.path()), before);
    }

    #[test]
    fn only_dns_names_become_names_of_files() {
        for text in ["", "../web", "a/b", ".hidden", "web1,", "web1,a b", "ca", "-a", "a..b", "*.example.org"] {
            assert!(CertName::parse(text).is_err(), "{text:?}");
        }
        for text in ["web1", "web1.example.org,*.example.org,::1", "rabbit_1,10.0.0.1"] {
            assert!(CertName::parse(text).is_ok(), "{text:?}");
        }
    }
}
