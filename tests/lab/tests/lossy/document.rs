//! docs/lossy.md and its picture, made of what was measured.

use crate::{Arrival, Class, LOSSES, Latencies, MESSAGES};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

pub(crate) fn write(arrivals: &[Arrival], rounds: &[(Latencies, Latencies)]) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    fs::write(docs.join("lossy.md"), text(rounds)).unwrap();
    fs::write(docs.join("lossy.svg"), picture(arrivals)).unwrap();
}

fn text(rounds: &[(Latencies, Latencies)]) -> String {
    let mut text = HEAD.to_owned();
    for (percent, (lossy, reliable)) in LOSSES.iter().zip(rounds) {
        let _ = write!(text, "| {percent} % | {} |", lossy.0.len());
        for latencies in [lossy, reliable] {
            let ms = |share| latencies.at(share).as_millis();
            let _ = write!(text, " {} | {} | {} |", ms(0.5), ms(0.95), ms(1.0));
        }
        text.push('\n');
    }
    text + END
}

/// A panel for each round: a point for each message, by when it was sent and how long it took.
fn picture(arrivals: &[Arrival]) -> String {
    let height = PANEL_TOP + LOSSES.len() * PANEL;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" aria-label=\"{ALT}\">\n<style>{STYLE}</style>\n{LEGEND}"
    );
    for (round, percent) in LOSSES.iter().enumerate() {
        let bottom = PANEL_TOP + (round + 1) * PANEL - GAP;
        let _ = writeln!(svg, "<text x=\"0\" y=\"{}\">{percent} % lost</text>", bottom - 70);
        for ms in [0, 500, 1000] {
            let y = bottom as f64 - f64::from(ms) * HEIGHT_PER_MS;
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {y}H{WIDTH}\"/>");
            let _ = writeln!(
                svg,
                "<text class=\"mark\" x=\"{}\" y=\"{}\">{ms} ms</text>",
                LEFT - 8,
                y + 4.0
            );
        }
        // The lossy ones on top: they are what this is about.
        for (kind, class) in [(Class::Reliable, "reliable"), (Class::Lossy, "lossy")] {
            let mut points = String::new();
            for it in arrivals.iter().filter(|it| (it.round, it.class) == (round, kind)) {
                let x = LEFT + (WIDTH - LEFT) * it.number as usize / MESSAGES as usize;
                let y = bottom as f64 - it.latency.as_secs_f64() * 1000.0 * HEIGHT_PER_MS;
                let _ = write!(points, "M{x} {y:.1}h0");
            }
            let _ = writeln!(svg, "<path class=\"{class}\" d=\"{points}\"/>");
        }
    }
    svg + "</svg>\n"
}

const WIDTH: usize = 860;
const LEFT: usize = 140;
const PANEL_TOP: usize = 30;
const PANEL: usize = 160;
const GAP: usize = 20;
const HEIGHT_PER_MS: f64 = 0.1;

const ALT: &str =
    "Latency of each message of a lossy and a reliable channel, at four rates of loss";

/// Colors that can be told from each other, and from a light and a dark page.
const STYLE: &str = "
text { font: 13px system-ui, sans-serif; fill: #6e7781 }
.mark { font-size: 11px; text-anchor: end }
.grid { stroke: #8b949e; stroke-opacity: 0.35 }
.lossy, .reliable { fill: none; stroke-width: 3; stroke-linecap: round }
.lossy { stroke: #2f81f7 }
.reliable { stroke: #d4731c }
@media (prefers-color-scheme: dark) { text { fill: #9198a1 } }
";

const LEGEND: &str = "\
<path class=\"lossy\" d=\"M144 12h0\"/><text x=\"154\" y=\"16\">lossy channel</text>
<path class=\"reliable\" d=\"M264 12h0\"/><text x=\"274\" y=\"16\">reliable channel</text>
";

const HEAD: &str = "\
# Lossy channels, measured

A reliable channel brings everything in order. So a packet that is lost holds up all
that was sent after it, until it was missed, sent again and came: a game hears of every position,
but too late. A lossy channel leaves out what is lost; the next position makes up for it.

![Latency of each message of both channels](lossy.svg)

Each point is a message: from left to right eight seconds of sixty a second on each channel, both
between the same two Rust peers, over a line that takes 50 ms each way and loses as many packets in
each direction as the panel says.

Latencies in milliseconds:

| lost | lossy that came, of 480 | lossy, median | 95 % | worst | reliable, median | 95 % | worst |
|---|---|---|---|---|---|---|---|
";

const END: &str = "
All 480 messages of the reliable channel came each time.

Once, at 20 %, both channels stood still together for two seconds: probably by the timer of SCTP,
for which all that was on its way was lost (RFC 9260, 6.3.3). So the test measures twice at most.

The line is two TAP interfaces in network namespaces, with a program between that delays and loses
(`tests/lab/src/cable.rs`); debug builds on a machine with two cores. A test
(`tests/lab/tests/lossy`) does this in `tests/all.sh`, fails where the lossy
channel is held up too, and with `HELIOGRAPH_WRITE=1` writes this page. To try your own
program on such a line:

    cargo run --example lab -- up open open --delay-ms 50 --loss 5
";
