//! Where a server is: its URL in all the spellings a user may paste.

use crate::Error;
use http::Uri;
use std::net::IpAddr;
use std::sync::Arc;

/// The path of the signaling endpoint, protocol version 1.
const ENDPOINT: &str = "/v1/ws";

/// A server, for what is asked before a room. Its URL alone will do, as a `&str`, unless its
/// certificate is of an authority that the system doesn't know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Its page or its WebSocket, as for [`join`](crate::join).
    pub url: String,
    /// More authorities whose certificates are believed, as PEM: see
    /// [`Options::authorities`](crate::Options).
    pub authorities: Option<String>,
}

impl From<&str> for Server {
    fn from(url: &str) -> Self {
        Self { url: url.to_owned(), authorities: None }
    }
}

impl From<&String> for Server {
    fn from(url: &String) -> Self {
        url.as_str().into()
    }
}

impl From<&Self> for Server {
    fn from(server: &Self) -> Self {
        server.clone()
    }
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Without the brackets of an IPv6 literal.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether by TLS.
    pub(crate) is_secure: bool,
    /// What stands before the paths of the protocol, such as `/meet`; mostly nothing.
    pub(crate) prefix: String,
    /// Of the WebSocket: `ws://host:port/v1/ws`.
    pub(crate) url: String,
    /// More authorities whose certificates are believed there, PEM.
    pub(crate) authorities: Option<Arc<str>>,
}

impl Place {
    /// Where this server is.
    pub(crate) fn of(server: Server) -> Result<Self, Error> {
        let Server { url, authorities } = server;
        Ok(Self { authorities: authorities.map(Into::into), ..Self::parse(&url)? })
    }

    /// Reads `http:`, `https:`, `ws:` and `wss:` URLs of the server, its page (with or without
    /// `#room`) or its endpoint.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let bad = |why| Error::BadUrl { url: text.to_owned(), why };
        let uri: Uri = text.trim().parse().map_err(|_| bad("it is no URL"))?;
        let is_secure = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") if cfg!(any(feature = "tls", target_arch = "wasm32")) => true,
            Some("https" | "wss") => return Err(bad("this build has no TLS")),
            Some(_) => return Err(bad("its scheme is none of http:, https:, ws: and wss:")),
            None => return Err(bad("it has no scheme")),
        };
        let host =
            uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it has no host"))?;
        let (scheme, port) = if is_secure { ("wss", 443) } else { ("ws", 80) };
        let port = uri.port_u16().unwrap_or(port);
        let prefix = uri.path().trim_end_matches('/').trim_end_matches(ENDPOINT);
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            is_secure,
            prefix: prefix.to_owned(),
            url: format!("{scheme}://{host}:{port}{prefix}{ENDPOINT}"),
            authorities: None,
        })
    }

    /// Host and port, for people.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Host and port, as a URL has them.
    pub(crate) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Whether the server is on this machine, by its name.
    pub(crate) fn is_local(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_leads_to_the_same_endpoint() {
        for url in [
            "ws://127.0.0.1:8080",
            "http://127.0.0.1:8080/",
            " http://127.0.0.1:8080/#demo ",
            "http://127.0.0.1:8080/?x=1#demo",
            "ws://127.0.0.1:8080/v1/ws",
        ] {
            let place = Place::parse(url).unwrap();
            assert_eq!(place.url, "ws://127.0.0.1:8080/v1/ws", "{url}");
            assert_eq!((&*place.host, place.port), ("127.0.0.1", 8080));
        }
        assert_eq!(Place::parse("http://example.net").unwrap().port, 80);
        assert_eq!(Place::parse("http://[::1]:9/").unwrap().host, "::1");
        let place = Place::parse("http://a/meet/").unwrap();
        assert_eq!((&*place.url, &*place.prefix), ("ws://a:80/meet/v1/ws", "/meet"));
        let place = Place::parse("http://[::1]:9/").unwrap();
        assert_eq!((&*place.authority(), place.is_local()), ("[::1]:9", true));
        #[cfg(feature = "tls")]
        assert_eq!(Place::parse("https://a").unwrap().url, "wss://a:443/v1/ws");
    }

    #[test]
    fn what_names_no_server_is_refused_with_the_reason() {
        for (url, reason) in [
            ("", "no URL"),
            ("demo", "no scheme"),
            ("127.0.0.1:8080", "no scheme"),
            ("ftp://a", "scheme"),
            #[cfg(not(feature = "tls"))]
            ("wss://a", "TLS"),
            ("http://", "no URL"),
        ] {
            let Err(Error::BadUrl { why, .. }) = Place::parse(url) else { panic!("{url}") };
            assert!(why.contains(reason), "{url}: {why}");
        }
    }
}
