//! A connection to the server: TCP, with TLS where its URL asks for it.

use crate::Error;
use crate::config::STEP_TIMEOUT;
use crate::place::Place;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What bytes go over.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Connects, and says whether the server is on this machine.
pub(super) async fn connect(place: &Place) -> Result<(Box<dyn Io>, bool), Error> {
    let unreachable = |reason| Error::Unreachable { address: place.address(), reason };
    // Where not even TCP gets, no other transport does.
    let silence = || format!("no answer within {STEP_TIMEOUT:?}");
    let tcp = timeout(STEP_TIMEOUT, TcpStream::connect((&*place.host, place.port)))
        .await
        .map_err(|_| unreachable(io::Error::new(io::ErrorKind::TimedOut, silence())))?;
    let tcp = tcp.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    let is_local = tcp.peer_addr().map_err(unreachable)?.ip().is_loopback();
    let io = if place.is_secure { secure(place, tcp).await? } else { Box::new(tcp) };
    Ok((io, is_local))
}

#[cfg(feature = "tls")]
async fn secure(place: &Place, tcp: TcpStream) -> Result<Box<dyn Io>, Error> {
    let wrong = |why: String| Error::NotHeliograph { address: place.address(), why };
    let roots = roots(place.authorities.as_deref())?;
    let config = tls_config(roots).map_err(|error| wrong(error.to_string()))?;
    let name = rustls::pki_types::ServerName::try_from(place.host.clone());
    let name = name.map_err(|error| wrong(error.to_string()))?;
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let tls = step(place, connector.connect(name, tcp)).await?;
    let tls = tls.map_err(|error| match error.get_ref().and_then(|it| it.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            Error::Untrusted { address: place.address(), why: why.to_string() }
        }
        Some(_) | None => wrong(error.to_string()),
    })?;
    Ok(Box::new(tls))
}

/// Who is believed: the authorities of the system, and more of them as PEM.
#[cfg(feature = "tls")]
fn roots(more: Option<&str>) -> Result<rustls::RootCertStore, Error> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "some of the certificates that the system trusts can't be read");
    }
    roots.add_parsable_certificates(found.certs);
    let Some(more) = more else { return Ok(roots) };
    let of_system = roots.len();
    for certificate in CertificateDer::pem_slice_iter(more.as_bytes()) {
        let certificate = certificate.map_err(|error| Error::BadAuthorities(error.to_string()))?;
        roots.add(certificate).map_err(|error| Error::BadAuthorities(error.to_string()))?;
    }
    if roots.len() == of_system {
        return Err(Error::BadAuthorities("it holds no certificate".to_owned()));
    }
    Ok(roots)
}

#[cfg(feature = "tls")]
fn tls_config(roots: rustls::RootCertStore) -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

#[cfg(not(feature = "tls"))]
async fn secure(place: &Place, _: TcpStream) -> Result<Box<dyn Io>, Error> {
    let why = "this build has no TLS: turn the feature tls on";
    Err(Error::BadUrl { url: place.url.clone(), why })
}

/// Gives one step of connecting its time.
pub(super) async fn step<T>(place: &Place, future: impl Future<Output = T>) -> Result<T, Error> {
    timeout(STEP_TIMEOUT, future)
        .await
        .map_err(|_| Error::Timeout { address: place.address(), after: STEP_TIMEOUT })
}
