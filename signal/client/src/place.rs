//! Where a server is: its URL in all the spellings a user may paste.

use crate::Error;
use http::Uri;

/// The path of the signaling endpoint, protocol version 1.
const ENDPOINT: &str = "/v1/ws";

/// Where a server's WebSocket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Without the brackets of an IPv6 literal.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// For the upgrade request: `ws://host:port/v1/ws`.
    pub(crate) url: String,
}

impl Place {
    /// Reads `http:` and `ws:` URLs of the server, its page (with or without `#room`) or its
    /// endpoint.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let bad = |why| Error::BadUrl { url: text.to_owned(), why };
        let uri: Uri = text.trim().parse().map_err(|_| bad("it is no URL"))?;
        match uri.scheme_str() {
            Some("http" | "ws") => {}
            Some("https" | "wss") => return Err(bad("this build has no TLS")),
            Some(_) => return Err(bad("its scheme is not http: or ws:")),
            None => return Err(bad("it has no scheme")),
        }
        let host =
            uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it has no host"))?;
        let port = uri.port_u16().unwrap_or(80);
        let prefix = uri.path().trim_end_matches('/').trim_end_matches(ENDPOINT);
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            url: format!("ws://{host}:{port}{prefix}{ENDPOINT}"),
        })
    }

    /// Host and port, for people.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
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
        assert_eq!(Place::parse("http://a/meet/").unwrap().url, "ws://a:80/meet/v1/ws");
    }

    #[test]
    fn what_names_no_server_is_refused_with_the_reason() {
        for (url, reason) in [
            ("", "no URL"),
            ("demo", "no scheme"),
            ("127.0.0.1:8080", "no scheme"),
            ("ftp://a", "scheme"),
            ("wss://a", "TLS"),
            ("http://", "no URL"),
        ] {
            let Err(Error::BadUrl { why, .. }) = Place::parse(url) else { panic!("{url}") };
            assert!(why.contains(reason), "{url}: {why}");
        }
    }
}
