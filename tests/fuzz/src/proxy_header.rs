//! PROXY headers: the same is read however the bytes come, and what is read is written so that it
//! reads the same.

use crate::input::Input;
use signal_core::ProxyHeader;
use std::net::{IpAddr, SocketAddr};

/// Reads a header from the bytes, with a limit that they choose.
///
/// # Panics
/// If a cut changes what is read, or a header is over the limit.
pub fn proxy_header(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let bytes_max = usize::from(input.word() % 2048);
    let came = input.bytes(usize::MAX);
    let whole = ProxyHeader::read(came, bytes_max);
    if came.len() >= bytes_max {
        assert_ne!(whole, Ok(None), "there is always an answer at the limit");
    }
    for cut in 0..came.len() {
        let part = ProxyHeader::read(&came[..cut], bytes_max);
        match (whole, part) {
            (Ok(Some(header)), part) if cut < header.bytes => {
                assert_eq!(part, Ok(None), "cut at {cut}");
            }
            (Ok(Some(header)), part) => assert_eq!(part, Ok(Some(header)), "cut at {cut}"),
            (Ok(None), part) => assert_eq!(part, Ok(None), "cut at {cut}"),
            // What is wrong may show late, but then it stays so.
            (Err(_), part) => assert!(matches!(part, Ok(None) | Err(_)), "cut at {cut}"),
        }
    }
    if let Ok(Some(header)) = whole {
        assert!(header.bytes <= bytes_max.min(came.len()));
        if let Some(source) = header.source {
            reads_again(source);
        }
    }
}

fn reads_again(source: SocketAddr) {
    let (ip, port, other) = (source.ip(), source.port(), source.port() ^ 1);
    let (name, family, address) = match ip {
        IpAddr::V4(v4) => ("TCP4", 0x11, v4.octets().to_vec()),
        IpAddr::V6(v6) => ("TCP6", 0x21, v6.octets().to_vec()),
    };
    let text = format!("PROXY {name} {ip} {ip} {port} {other}\r\n").into_bytes();
    let rest = [&address[..], &address, &port.to_be_bytes(), &other.to_be_bytes()].concat();
    let head = b"\r\n\r\n\0\r\nQUIT\n\x21";
    let binary = [&head[..], &[family, 0, rest.len() as u8], &rest].concat();
    for written in [text, binary] {
        let again = ProxyHeader::read(&written, written.len());
        let expected = ProxyHeader { source: Some(source), bytes: written.len() };
        assert_eq!(again, Ok(Some(expected)));
    }
}
