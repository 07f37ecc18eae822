//! The certificate and key of all TLS listeners: read from files, and read again when they change.

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tracing::{info, warn};

/// How often the files are looked at: 5 s, so that a renewed certificate is in use at once, for two
/// calls of stat.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The certificate that new connections get. Open ones keep theirs.
#[derive(Debug)]
pub(crate) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// One line that names the flag, the file, and what is wrong with it.
    pub(crate) fn load(cert: &Path, key: &Path) -> Result<Arc<Self>, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = RwLock::new(Arc::new(read(cert, key, &provider)?));
        Ok(Arc::new(Self { cert: cert.to_owned(), key: key.to_owned(), provider, current }))
    }

    /// Settings for a TLS server that shows it.
    pub(crate) fn server(self: &Arc<Self>) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone());
        let config = builder
            .with_safe_default_protocol_versions()
            .expect("the provider has the cipher suites of the default versions")
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        Arc::new(config)
    }

    /// Reads the files again whenever one has changed, for ever. What can't be used is told, and
    /// what was read before stays.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        let mut seen = self.changed();
        let mut told = None;
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let now = self.changed();
            if now == seen {
                continue;
            }
            match read(&self.cert, &self.key, &self.provider) {
                Ok(read) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
                    (seen, told) = (now, None);
                    info!("the TLS certificate was read again");
                }
                // One of the two may be about to change: look again next time.
                Err(error) if told.as_ref() != Some(&error) => {
                    warn!("the TLS certificate stays as it was: {error}");
                    told = Some(error);
                }
                Err(_) => {}
            }
        }
    }

    fn changed(&self) -> [Option<SystemTime>; 2] {
        let modified = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified()).ok();
        [modified(&self.cert), modified(&self.key)]
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn read(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong("--tls-cert", cert, &error, "certificate"))?;
    if chain.is_empty() {
        let error = PemError::NoItemsFound;
        return Err(wrong("--tls-cert", cert, &error, "certificate"));
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| wrong("--tls-key", key, &error, "private key"))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| {
        let (cert, key) = (cert.display(), key.display());
        if matches!(error, rustls::Error::InconsistentKeys(_)) {
            return format!(
                "--tls-key {key} is not the key of the certificate in --tls-cert {cert}"
            );
        }
        format!("--tls-cert {cert}, --tls-key {key}: {error}")
    })
}

fn wrong(flag: &str, path: &Path, error: &PemError, wanted: &str) -> String {
    let path = path.display();
    if let PemError::Io(error) = error {
        return format!("{flag}: cannot read {path}: {error}");
    }
    if matches!(error, PemError::NoItemsFound) {
        return format!("{flag}: {path} has no {wanted} in PEM form");
    }
    format!("{flag}: {path} is no valid PEM file: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(name: &str, names: [&str; 2]) -> (PathBuf, PathBuf) {
        let made = names.map(|name| {
            rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate")
        });
        let base = format!("heliograph-tls-{}-{name}", std::process::id());
        let path = |end: &str| std::env::temp_dir().join(format!("{base}.{end}"));
        let (cert, key) = (path("crt"), path("key"));
        std::fs::write(&cert, made[0].cert.pem()).unwrap();
        std::fs::write(&key, made[1].signing_key.serialize_pem()).unwrap();
        (cert, key)
    }

    #[test]
    fn each_wrong_file_is_named_with_what_is_wrong() {
        let (cert, key) = files("wrong", ["localhost", "localhost"]);
        let refused = |cert: &Path, key: &Path| Certificate::load(cert, key).unwrap_err();
        let missing = Path::new("/nowhere/at/all.pem");
        let text = refused(missing, &key);
        assert!(text.contains("--tls-cert: cannot read /nowhere/at/all.pem"), "{text}");
        let text = refused(&cert, missing);
        assert!(text.contains("--tls-key: cannot read /nowhere/at/all.pem"), "{text}");
        let text = refused(&key, &key);
        assert!(text.contains("has no certificate"), "{text}");
        let text = refused(&cert, &cert);
        assert!(text.contains("has no private key"), "{text}");
        // Made of two pairs: the key isn't that of the certificate.
        let text = refused(&cert, &key);
        assert!(text.contains("is not the key of the certificate"), "{text}");
    }
}
