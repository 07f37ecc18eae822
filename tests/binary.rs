//! The binary as its users meet it: flags, environment, file, banner, exit codes, signals, ops
//! routes.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use support::{Heliograph, TestTls, command, get, get_over, run};

const BOTH: [&str; 4] = ["--http", "127.0.0.1:0", "--turn", "127.0.0.1:0"];

#[test]
fn the_banner_says_where_everything_is_and_what_was_chosen() {
    let server = Heliograph::start(&BOTH);
    let (http, turn, banner) = (server.http(), server.turn(), server.banner());
    assert!(http.port() != 0 && turn.port() != 0);
    assert_eq!(server.announced("WebSocket"), format!("ws://{http}/v1/ws"));
    assert_eq!(server.announced("TURN"), format!("turn:{turn}?transport=udp"));
    for told in ["TURN secret", "--turn-secret", "Only this machine", "--http 0.0.0.0:8080 --open"]
    {
        assert!(banner.contains(told), "{told} is missing in\n{banner}");
    }
}

#[test]
fn the_ops_routes_answer() {
    let server = Heliograph::start(&BOTH);
    let http = server.http();
    assert!(get(http, "/livez").starts_with("HTTP/1.1 200"));
    assert!(get(http, "/readyz").contains("ready"));
    let metrics = get(http, "/metrics");
    for name in ["heliograph_relay_allocations 0", "heliograph_signal_", "# EOF"] {
        assert!(metrics.contains(name), "{name} is missing in\n{metrics}");
    }
    assert!(get(http, "/").contains("<title>"), "the page is served");
    assert!(get(http, "/nothing").starts_with("HTTP/1.1 404"));
}

#[test]
fn each_half_runs_alone() {
    let signal = Heliograph::start(&["signal", "--http", "127.0.0.1:0"]);
    assert!(get(signal.http(), "/livez").starts_with("HTTP/1.1 200"));
    assert!(!signal.banner().contains("turn:"), "{}", signal.banner());

    let relay = Heliograph::start(&["relay", "--turn", "127.0.0.1:0", "--user", "user:pass"]);
    assert!(relay.turn().port() != 0);
    assert!(!relay.banner().contains("http://"), "{}", relay.banner());
}

#[test]
fn a_relay_with_http_serves_the_ops_routes_and_no_rooms() {
    let relay = Heliograph::start(&[
        "relay",
        "--turn",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--user",
        "user:pass",
    ]);
    let ops = relay.announced("Metrics").trim_start_matches("http://").to_owned();
    let http: SocketAddr = ops.trim_end_matches("/metrics").parse().unwrap();
    assert!(get(http, "/metrics").contains("heliograph_relay_allocations 0"));
    assert!(get(http, "/v1/ws").starts_with("HTTP/1.1 404"));
}

#[test]
fn the_documented_relay_command_line_works() {
    // As in the README, but for the port.
    let relay = Heliograph::start(&[
        "relay",
        "--turn",
        "127.0.0.1:0",
        "--user",
        "user:pass",
        "--realm",
        "test",
        "--allow-peer",
        "127.0.0.0/8",
    ]);
    let turn = relay.turn();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let binding = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[7; 12]].concat();
    client.send_to(&binding, turn).unwrap();
    let mut answer = [0; 512];
    let (length, from) = client.recv_from(&mut answer).unwrap();
    assert_eq!(from, turn);
    assert_eq!(answer[..2], [1, 1], "a Binding success response of {length} bytes");
    assert_eq!(answer[8..20], [7; 12], "of the same transaction");
}

#[test]
fn turn_https_and_websocket_share_a_tls_port_and_the_certificate_is_renewed() {
    let tls = TestTls::new();
    let https = ["--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--public-host", "localhost"];
    let server = Heliograph::start_with_streams("127.0.0.1", &tls, &https);
    let of = |begin: &str, end: &str| server.port(begin, end);
    let port = of("turns:localhost:", "?transport=tcp");
    assert_eq!(of("https://localhost:", "/"), port);
    assert_eq!(of("wss://localhost:", "/v1/ws"), port);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let tcp = SocketAddr::from(([127, 0, 0, 1], of("turn:127.0.0.1:", "?transport=tcp")));

    let binding = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[7; 12]].concat();
    let mut plain = TcpStream::connect(tcp).unwrap();
    let mut secure = tls.connect(address, &[]);
    for stream in [&mut plain as &mut dyn support::ReadWrite, &mut secure] {
        stream.write_all(&binding).unwrap();
        let mut answer = [0; 32];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..2], [1, 1], "a Binding success response");
    }
    for alpn in [&[][..], &[&b"http/1.1"[..]]] {
        let answer = get_over(&mut tls.connect(address, alpn), "localhost", "/livez");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    speaks_http2(tls.connect(address, &[b"http/1.1", b"h2"]));

    let before = tls.shown(address);
    let renewed = tls.renew();
    assert_ne!(before, renewed);
    support::wait_until("the new certificate is shown", || tls.shown(address) == renewed);
    // The connection from before lives on.
    secure.write_all(&binding).unwrap();
    secure.read_exact(&mut [0; 32]).unwrap();
}

#[test]
fn https_has_a_port_of_its_own_if_it_is_not_shared() {
    let tls = TestTls::new();
    let (cert, key) = tls.files();
    let arguments = ["signal", "--https", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key];
    let server = Heliograph::start(&[&arguments[..], &["--http", "127.0.0.1:0"]].concat());
    let banner = server.banner();
    let address = server.https();
    let answer = get_over(&mut tls.connect(address, &[b"http/1.1"]), "localhost", "/");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("<title>"), "{answer}");
    speaks_http2(tls.connect(address, &[b"http/1.1", b"h2"]));
    assert!(!banner.contains("turns:"), "{banner}");
}

/// Expects that a connection whose client leaves the choice is HTTP/2, WebSockets included.
fn speaks_http2(mut stream: support::TlsClient) {
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[3], 4, "the first frame is SETTINGS");
    let mut settings = vec![0; usize::from(head[2])];
    stream.read_exact(&mut settings).unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    let connect = settings.chunks(6).find(|setting| setting[..2] == [0, 8]);
    assert_eq!(connect.unwrap()[2..], [0, 0, 0, 1], "SETTINGS_ENABLE_CONNECT_PROTOCOL");
}

#[test]
fn sigterm_and_ctrl_c_end_it_in_order() {
    for name in ["TERM", "INT"] {
        let server = Heliograph::start(&BOTH);
        let turn = server.turn();
        server.signal(name);
        let (status, logs) = server.wait();
        assert_eq!(status.code(), Some(0), "{name}: {logs}");
        UdpSocket::bind(turn).expect("the port is free again");
    }
}

#[test]
fn check_prints_the_settings_in_force_and_masks_secrets() {
    let (code, out, _) = run(&["--check", "--turn-secret", "swordfish", "--realm", "example.org"]);
    assert_eq!(code, 0);
    assert!(out.contains("realm = \"example.org\""), "{out}");
    assert!(out.contains("http = \"127.0.0.1:8080\""), "{out}");
    assert!(!out.contains("swordfish"), "{out}");
}

#[test]
fn a_flag_beats_the_environment_and_that_the_file() {
    let file = temporary_file("order.toml", "realm = \"file\"\nworkers = 1\nlog = \"warn\"\n");
    let output = command(&["--check", "--config", file.to_str().unwrap(), "--realm", "flag"])
        .env("HELIOGRAPH_REALM", "environment")
        .env("HELIOGRAPH_LOG", "debug")
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    for line in ["realm = \"flag\"", "log = \"debug\"", "workers = 1"] {
        assert!(out.contains(line), "{line} is missing in\n{out}");
    }
    std::fs::remove_file(file).unwrap();
}

#[test]
fn what_check_prints_can_be_used_as_the_file() {
    let (_, out, _) = run(&["--check", "--http", "127.0.0.1:9999", "--deny-peer", "8.8.8.8"]);
    let file = temporary_file("again.toml", &out.replace("********", "x"));
    let (code, again, err) = run(&["--check", "--config", file.to_str().unwrap()]);
    assert_eq!((code, again), (0, out), "{err}");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_wrong_key_or_value_ends_with_code_2_and_one_line_that_names_it() {
    for (arguments, named) in [
        (&["--htp", "x"][..], "--htp"),
        (&["--http", "8080"], "--http"),
        (&["--turn", "localhost"], "--turn"),
        (&["--workers", "many"], "--workers"),
        (&["--port-range", "9-1"], "--port-range"),
        (&["--allow-peer", "10.0.0.0/40"], "--allow-peer"),
        (&["--public-ip", "0.0.0.0"], "--public-ip"),
        (&["--turn-tls", "127.0.0.1:0"], "--tls-cert"),
        (&["--https", "127.0.0.1:0"], "--tls-cert"),
        (&["--tls-cert", "some.pem"], "--tls-key"),
        (&["--tls-cert", "/no.pem", "--tls-key", "/no.key"], "cannot read /no.pem"),
        (&["--public-host", "a b"], "--public-host"),
        (&["--user-quota", "0"], "--user-quota"),
        (&["--alternate-server", "0.0.0.0:3478"], "--alternate-server"),
        (&["--turn-tcp", "3478"], "--turn-tcp"),
        (&["--http", "0.0.0.0:0"], "--open"),
        (&["--log", "loud"], "--log"),
        (&["--config", "/nowhere/at/all.toml"], "/nowhere/at/all.toml"),
        (&["relay"], "heliograph credentials"),
        (&["dance"], "dance"),
        (&["credentials", "--name", ""], "--name"),
        (&["--auth", "maybe"], "--auth"),
        (&["--auth", "jwt"], "--jwt-key"),
        (&["--auth", "jwt", "--jwt-key", "/no.pem"], "cannot read /no.pem"),
        (&["--auth", "jwt", "--jwt-secret-file", "/dev/null"], "at least 32 bytes"),
        (&["--auth", "jwt", "--jwks-url", "http://example.org/"], "--jwks-url"),
        (&["--auth", "jwt", "--open"], "--open"),
        (&["--jwt-key", "/no.pem"], "--auth jwt"),
        (&["--auth", "webhook"], "--auth-webhook"),
        (&["--auth-webhook", "https://example.org/"], "--auth webhook"),
        (&["--auth-expiry", "never"], "--auth-expiry"),
        (&["--peer-taken", "ignore"], "--peer-taken"),
        (&["--allow-origin", "example.org"], "--allow-origin"),
        (&["--http", "0.0.0.0:0"], "--auth jwt"),
        (&["token", "--key-file", "/no.key"], "--key-file"),
    ] {
        let (code, out, err) = run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {out}{err}");
        assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
        assert!(err.contains(named), "{arguments:?}: {err}");
    }
}

#[test]
fn a_wrong_line_in_the_file_is_named_and_its_value_is_not_shown() {
    for (text, named) in [
        ("realm = \"x\"\nhtp = \"127.0.0.1:1\"\n", ":2: htp"),
        ("\nworkers = \"swordfish\"\n", ":2: workers"),
        ("turn-secret = [\"swordfish\", 5]\n", ":1: turn-secret"),
        ("turn-secret = \"\"\n", ":1: turn-secret"),
        ("user = [\"swordfish\"]\n", ":1: user"),
        ("http = \"swordfish\"\n", ":1: http"),
        ("realm = \"swordfish", ":1: realm"),
    ] {
        let file = temporary_file("wrong.toml", text);
        let (code, _, err) = run(&["--config", file.to_str().unwrap(), "--check"]);
        assert_eq!((code, err.lines().count()), (2, 1), "{text}: {err}");
        assert!(err.contains(named), "{text}: {err}");
        let is_secret = text.contains("secret") || text.contains("user");
        assert!(!is_secret || !err.contains("swordfish"), "{text}: {err}");
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn a_secret_on_the_command_line_is_not_repeated() {
    let (code, _, err) = run(&["--user", "swordfish"]);
    assert_eq!(code, 2);
    assert!(err.contains("--user") && err.contains("NAME:PASSWORD"), "{err}");
    assert!(!err.contains("swordfish"), "{err}");
}

#[test]
fn a_port_in_use_is_said_plainly() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = taken.local_addr().unwrap().to_string();
    let (code, _, err) = run(&["--http", &http, "--turn", "127.0.0.1:0"]);
    assert_eq!(code, 1);
    assert!(err.contains(&http) && err.contains("in use") && err.contains("--http"), "{err}");

    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let turn = taken.local_addr().unwrap().to_string();
    let (code, _, err) = run(&["--http", "127.0.0.1:0", "--turn", &turn]);
    assert_eq!(code, 1);
    assert!(err.contains(&turn) && err.contains("in use") && err.contains("--turn"), "{err}");
}

#[test]
fn an_address_that_is_not_of_this_machine_is_said_plainly() {
    // 192.0.2.0/24 is for documentation: no machine has it.
    let (code, _, err) = run(&["--http", "127.0.0.1:0", "--turn", "192.0.2.1:3478"]);
    assert_eq!(code, 1);
    assert!(err.contains("192.0.2.1") && err.contains("--public-ip"), "{err}");
}

#[test]
fn credentials_without_a_secret_make_one() {
    let (code, out, _) = run(&["credentials", "--name", "bob", "--ttl", "60"]);
    assert_eq!(code, 0);
    let value = |label: &str| {
        let line = out.lines().find(|line| line.starts_with(label)).expect(label);
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(value("turn-secret").len(), 64);
    assert!(value("username").ends_with(":bob"));
    let minted = heliograph_base::password(
        &heliograph_base::Secret::from_text(&value("turn-secret")).unwrap(),
        &value("username"),
    );
    assert_eq!(minted, value("password"));
}

fn temporary_file(name: &str, text: &str) -> std::path::PathBuf {
    let name = format!("heliograph-{}-{name}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, text).unwrap();
    path
}
