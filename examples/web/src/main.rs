//! Builds the page into `target/web-echo/`: compiles it, and writes the JavaScript beside it.
fn main() {}
