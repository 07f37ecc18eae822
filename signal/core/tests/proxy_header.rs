//! PROXY headers: those of the specification, cut, bent, and none at all.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use signal_core::BadProxyHeader::{self, Malformed, Missing, TooLong};
use signal_core::ProxyHeader;

const BYTES_MAX: usize = 1024;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The source and how many bytes are left behind the header.
fn read(bytes: &[u8]) -> Result<Option<(String, usize)>, BadProxyHeader> {
    let header = ProxyHeader::read(bytes, BYTES_MAX)?;
    Ok(header.map(|header| {
        let source = header.source.map_or("none".to_owned(), |source| source.to_string());
        (source, bytes.len() - header.bytes)
    }))
}

fn is(source: &str, left: usize) -> Result<Option<(String, usize)>, BadProxyHeader> {
    Ok(Some((source.to_owned(), left)))
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

/// 192.0.2.1:4711 to 198.51.100.2:443.
const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x67, 0x01, 0xBB];

/// [2001:db8::1]:4711 to [2001:db8::2]:443.
fn ipv6() -> Vec<u8> {
    let address = |last| [&[0x20, 0x01, 0x0D, 0xB8][..], &[0; 11], &[last]].concat();
    [address(1), address(2), vec![0x12, 0x67, 0x01, 0xBB]].concat()
}

fn good() -> Vec<(Vec<u8>, &'static str)> {
    let text = |line: &str| format!("{line}\r\n").into_bytes();
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let most = "255.255.255.255";
    vec![
        (text("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443"), "192.168.0.1:56324"),
        (text(&format!("PROXY TCP4 {most} {most} 65535 65535")), "255.255.255.255:65535"),
        (text("PROXY TCP4 0.0.0.0 0.0.0.0 0 0"), "0.0.0.0:0"),
        (text("PROXY TCP6 2001:DB8::1 ::1 1 2"), "[2001:db8::1]:1"),
        (
            text(&format!("PROXY TCP6 {longest} {longest} 65535 65535")),
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
        ),
        (text("PROXY UNKNOWN"), "none"),
        (text(&format!("PROXY UNKNOWN {longest} {longest} 65535 65535")), "none"),
        (binary(0x21, 0x11, &IPV4), "192.0.2.1:4711"),
        (binary(0x21, 0x21, &ipv6()), "[2001:db8::1]:4711"),
        // With a TLV behind the addresses, here the authority.
        (binary(0x21, 0x11, &[&IPV4[..], b"\x02\x00\x04host"].concat()), "192.0.2.1:4711"),
        // LOCAL, with all, with anything, with nothing.
        (binary(0x20, 0x11, &IPV4), "none"),
        (binary(0x20, 0xFF, b"x"), "none"),
        (binary(0x20, 0x00, b""), "none"),
        // Unspecified, UDP, UNIX.
        (binary(0x21, 0x00, &IPV4), "none"),
        (binary(0x21, 0x12, &IPV4), "none"),
        (binary(0x21, 0x22, &ipv6()), "none"),
        (binary(0x21, 0x31, &[b'x'; 216]), "none"),
        (binary(0x21, 0x32, &[b'x'; 216]), "none"),
    ]
}

#[test]
fn a_header_names_the_source_and_ends_where_it_ends() {
    for (header, source) in good() {
        let shown = header.escape_ascii();
        assert_eq!(read(&header), is(source, 0), "{shown}");
        let followed = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
        assert_eq!(read(&followed), is(source, 18), "{shown}");
    }
}

#[test]
fn a_header_that_is_cut_anywhere_is_waited_for() {
    for (header, _) in good() {
        for cut in 0..header.len() {
            assert_eq!(read(&header[..cut]), Ok(None), "{} {cut}", header.escape_ascii());
        }
    }
}

#[test]
fn what_is_no_header_is_refused_by_its_first_byte_that_differs() {
    for other in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01\x02\x00\x01", b"\0", b"proxy TCP4 "] {
        assert_eq!(read(&other[..1]), Err(Missing));
        assert_eq!(read(other), Err(Missing));
    }
    for (header, _) in good() {
        let begin = if header[0] == b'P' { 6 } else { SIGNATURE.len() };
        for index in 0..begin {
            let mut bent = header[..=index].to_vec();
            bent[index] ^= 0x20;
            assert_eq!(read(&bent), Err(Missing), "{}", bent.escape_ascii());
        }
    }
}

#[test]
fn a_line_that_breaks_the_rules_is_refused() {
    for line in [
        "PROXY ",
        "PROXY TCP4",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 ",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2",
        "PROXY TCP4 192.0.2.1 192.0.2.256 1 2",
        "PROXY TCP4 2001:db8::1 2001:db8::2 1 2",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2",
        "PROXY TCP6 2001:db8::1 2001:db8::2::3 1 2",
        "PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 00",
        "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 -2",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2",
        "PROXY UNKNOWNS",
        "PROXY tcp4 192.0.2.1 192.0.2.2 1 2",
    ] {
        assert_eq!(read(format!("{line}\r\n").as_bytes()), Err(Malformed), "{line:?}");
    }
    assert_eq!(read(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 \xFF\r\n"), Err(Malformed));
}

#[test]
fn a_binary_header_that_breaks_the_rules_is_refused_by_its_head() {
    for (command, family, rest_bytes) in [
        (0x11, 0x11, 12),
        (0x31, 0x11, 12),
        (0x22, 0x11, 12),
        (0x21, 0x10, 12),
        (0x21, 0x13, 12),
        (0x21, 0x01, 12),
        (0x21, 0x41, 12),
        (0x21, 0x11, 11),
        (0x21, 0x21, 35),
        (0x21, 0x31, 215),
    ] {
        let header = binary(command, family, &vec![0; rest_bytes]);
        assert_eq!(read(&header[..16]), Err(Malformed), "{command:x} {family:x} {rest_bytes}");
    }
}

#[test]
fn a_header_over_the_limit_is_refused_before_it_has_come() {
    let fits = binary(0x21, 0x11, &[&IPV4[..], &[0; BYTES_MAX - 28]].concat());
    assert_eq!(read(&fits), is("192.0.2.1:4711", 0));
    let large = binary(0x21, 0x11, &[&IPV4[..], &[0; BYTES_MAX - 27]].concat());
    assert_eq!(read(&large[..16]), Err(TooLong));

    // A line has at most 107 bytes, whatever the limit.
    let line = |fill: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(fill)).into_bytes();
    assert_eq!(read(&line(91)), is("none", 0));
    assert_eq!(read(&line(92)), Err(TooLong));
    assert_eq!(read(&line(92)[..107]), Err(TooLong));
    assert_eq!(read(&line(92)[..106]), Ok(None));
}

#[test]
fn with_as_many_bytes_as_a_header_may_have_there_is_an_answer() {
    for (header, _) in good() {
        for bytes_max in 0..=header.len() {
            let outcome = ProxyHeader::read(&header[..bytes_max], bytes_max);
            assert_ne!(outcome, Ok(None), "{} {bytes_max}", header.escape_ascii());
        }
    }
}
