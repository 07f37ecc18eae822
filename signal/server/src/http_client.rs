//! Requests that the server itself makes, of the operator's own services: keys of tokens, webhooks.
//!
//! HTTP/1.1 over TLS, or plain to this machine only. Redirects are not followed, proxies of the
//! environment not asked. What is asked for, how often and what of an answer that is no good, is
//! the caller's affair.

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use heliograph_base::{Secret, UnixTime};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use sha2::Sha256;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How many connections to one host wait for a next request: a few that are asked in turn.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// For how long: below the time after which most servers close them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// The header with the [`signature`] of a body.
pub const SIGNATURE: &str = "heliograph-signature";

/// Makes requests. Clones share their connections.
#[derive(Clone)]
pub struct HttpClient {
    client: Arc<Client<HttpsConnector<HttpConnector>, Body>>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

/// Where a request goes: `https`, or `http` to this machine.
#[derive(Clone, PartialEq, Eq)]
pub struct OutgoingUrl(Uri);

/// A text that is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadUrl;

/// A request.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// `GET` or `POST`.
    pub method: Method,
    /// Where it goes.
    pub url: OutgoingUrl,
    /// Its own headers; `host` and `content-length` come by themselves.
    pub headers: HeaderMap,
    /// Its body; none in a `GET`.
    pub body: Bytes,
    /// How long it may take, from the look-up of the name to the last byte of the answer.
    pub timeout: Duration,
    /// The largest body of an answer, in bytes.
    pub answer_bytes_max: usize,
}

/// What came back, whatever its status.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// All of its body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// It took too long.
    Timeout,
    /// There was no connection, or it broke.
    Broken(String),
    /// The answer has a larger body than it may have, or broke off.
    Body,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::Broken(why) => f.write_str(why),
            Self::Body => f.write_str("the answer is too large or broke off"),
        }
    }
}

impl Outgoing {
    /// A `POST` of a JSON text, signed if there is a secret, with the limits of time and answer.
    pub(crate) fn json(
        url: OutgoingUrl,
        secret: Option<&Secret>,
        now: UnixTime,
        body: Bytes,
        (timeout, answer_bytes_max): (Duration, usize),
    ) -> Self {
        let json = HeaderValue::from_static("application/json");
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
        if let Some(secret) = secret {
            headers.insert(HeaderName::from_static(SIGNATURE), signature(secret, now, &body));
        }
        Self { method: Method::POST, url, headers, body, timeout, answer_bytes_max }
    }
}

impl HttpClient {
    /// A client that believes the certificates of the system's authorities (those of
    /// `SSL_CERT_FILE`, if that is set) and those in the PEM file `more`.
    ///
    /// # Errors
    /// One line that says what is wrong with the file.
    pub fn new(more: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        // What can't be read there is no hindrance: a host that needs it can't be reached, and the
        // request says so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in more.map(certificates).transpose()?.unwrap_or_default() {
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the cipher suites of the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Ok(Self { client: Arc::new(client) })
    }

    /// Makes a request and gives the whole answer. Not tried again.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Incoming, Unanswered> {
        let Outgoing { method, url, headers, body, timeout: limit, answer_bytes_max } = outgoing;
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = url.0;
        *request.headers_mut() = headers;
        let answer = async {
            let response = self.client.request(request).await;
            let (head, body) =
                response.map_err(|error| Unanswered::Broken(why(&error)))?.into_parts();
            let body = to_bytes(Body::new(body), answer_bytes_max).await;
            let body = body.map_err(|_| Unanswered::Body)?;
            Ok(Incoming { status: head.status, headers: head.headers, body })
        };
        timeout(limit, answer).await.unwrap_or(Err(Unanswered::Timeout))
    }
}

/// The value of the header [`SIGNATURE`]: `t=SECONDS,v1=HEX`, where the latter is the HMAC-SHA256
/// of `SECONDS.BODY`. Who gets it knows by the time that it isn't an old one sent again.
#[must_use]
pub fn signature(secret: &Secret, now: UnixTime, body: &[u8]) -> HeaderValue {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("any length is a key");
    mac.update(format!("{}.", now.seconds).as_bytes());
    mac.update(body);
    let hex = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
    HeaderValue::try_from(format!("t={},v1={hex}", now.seconds)).expect("visible characters")
}

impl FromStr for OutgoingUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let uri: Uri = text.parse().map_err(|_| BadUrl)?;
        let authority = uri.authority().ok_or(BadUrl)?;
        let is_allowed = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => is_loopback(authority.host()),
            _ => false,
        };
        // A password there would be shown wherever the URL is.
        let is_bare = !authority.as_str().contains('@') && !authority.host().is_empty();
        if is_allowed && is_bare { Ok(Self(uri)) } else { Err(BadUrl) }
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

impl fmt::Display for OutgoingUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Leaves out the query: it may hold a secret.
impl fmt::Debug for OutgoingUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.authority().map_or("", |authority| authority.as_str());
        write!(f, "{}://{host}{}", self.0.scheme_str().unwrap_or_default(), self.0.path())
    }
}

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("needs https://HOST/PATH, or http:// to this machine")
    }
}

impl std::error::Error for BadUrl {}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(list) if list.is_empty() => Err(format!("{shown} has no certificate in PEM form")),
        Ok(list) => Ok(list),
        Err(error) => Err(format!("cannot read {shown}: {error}")),
    }
}

/// An error with its causes, since hyper's own words say little.
fn why(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    fn get(url: &str, timeout: Duration) -> Outgoing {
        Outgoing {
            method: Method::GET,
            url: url.parse().unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout,
            answer_bytes_max: 10,
        }
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Answers each connection's first request with this text.
    async fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
            }
        });
        format!("http://{address}/keys")
    }

    #[tokio::test]
    async fn an_answer_comes_whole_whatever_its_status() {
        let url = server("HTTP/1.1 404 x\r\ncontent-length: 10\r\n\r\n0123456789").await;
        let answer = HttpClient::new(None).unwrap().send(get(&url, PATIENCE)).await.unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.body), (404, &b"0123456789"[..]));
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_is_none() {
        let url = server("HTTP/1.1 200 x\r\ncontent-length: 11\r\n\r\n0123456789a").await;
        let outcome = HttpClient::new(None).unwrap().send(get(&url, PATIENCE)).await;
        assert_eq!(outcome.unwrap_err(), Unanswered::Body);
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let url = server("HTTP/1.1 302 x\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n").await;
        let answer = HttpClient::new(None).unwrap().send(get(&url, PATIENCE)).await.unwrap();
        assert_eq!(answer.status, StatusCode::FOUND);
    }

    #[tokio::test]
    async fn silence_and_refused_connections_are_told_apart() {
        let client = HttpClient::new(None).unwrap();
        let url = server("").await;
        let outcome = client.send(get(&url, Duration::from_millis(50))).await;
        assert_eq!(outcome.unwrap_err(), Unanswered::Timeout);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let outcome = client.send(get(&url, PATIENCE)).await;
        assert!(matches!(outcome, Err(Unanswered::Broken(_))), "{outcome:?}");
    }

    #[tokio::test]
    async fn only_a_certificate_that_is_trusted_is_believed() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let name = format!("heliograph-{}-outgoing-ca.pem", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, made.cert.pem()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let tls = rustls::ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.unwrap())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 2\r\n\r\nok").await;
                let _ = stream.shutdown().await;
            }
        });
        let url = format!("https://localhost:{port}/");
        let stranger = HttpClient::new(None).unwrap().send(get(&url, PATIENCE)).await;
        let Err(Unanswered::Broken(why)) = stranger else { panic!("{stranger:?}") };
        assert!(why.contains("certificate"), "{why}");
        let friend = HttpClient::new(Some(&file)).unwrap().send(get(&url, PATIENCE)).await.unwrap();
        assert_eq!(&*friend.body, b"ok");
        std::fs::remove_file(file).unwrap();
        assert!(HttpClient::new(Some(Path::new("/no.pem"))).unwrap_err().contains("/no.pem"));
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        for good in ["https://example.org/k?a=b", "http://127.0.0.1:8/", "http://[::1]/x"] {
            assert_eq!(good.parse::<OutgoingUrl>().unwrap().to_string(), good);
        }
        for bad in ["http://example.org/", "http://localhost.example.org/", "ftp://x", "/x", ""] {
            assert_eq!(bad.parse::<OutgoingUrl>(), Err(BadUrl), "{bad}");
        }
        assert_eq!("https://user:pass@example.org/".parse::<OutgoingUrl>(), Err(BadUrl));
        let url: OutgoingUrl = "https://example.org/k?secret".parse().unwrap();
        assert_eq!(format!("{url:?}"), "https://example.org/k");
    }

    #[test]
    fn a_signature_is_what_any_tool_computes() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac north
        let secret = Secret::from_text("north").unwrap();
        let signed = signature(&secret, UnixTime::from_seconds(1_700_000_000), br#"{"a":1}"#);
        let hex = "9412835788608fdba6e8472a372d9e0c2f3d5bfe22088a3cdce2c504bd861ac6";
        assert_eq!(signed, format!("t=1700000000,v1={hex}"));
    }
}
