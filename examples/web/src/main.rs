//! Builds the page into the folder `web-echo` beside this program's: compiles it, and writes the
//! JavaScript that loads it.
//!
//! ```text
//! cargo run -p web-echo -- [--release]
//! ```

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use anyhow::{Context as _, bail, ensure};
use std::path::Path;
use std::process::Command;
use std::{env, fs};
use wasm_bindgen_cli_support::Bindgen;

const TARGET: &str = "wasm32-unknown-unknown";

fn main() -> anyhow::Result<()> {
    let flags: Vec<String> = env::args().skip(1).collect();
    let profile = match flags.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => "debug",
        ["--release"] => "release",
        _ => bail!("unknown arguments {flags:?}: there is only --release"),
    };
    let own = env::current_exe()?;
    let builds = own.ancestors().nth(2).context("this program isn't where cargo puts it")?;
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Command::new(env!("CARGO"))
        .args(["build", "--lib", "--target", TARGET, "--target-dir"])
        .arg(builds)
        .args(&flags)
        .current_dir(package)
        .status()?;
    ensure!(status.success(), "cargo build: {status}; is the target there ({TARGET})?");

    let page = builds.join("web-echo");
    Bindgen::new()
        .input_path(builds.join(TARGET).join(profile).join("web_echo.wasm"))
        .web(true)?
        .omit_default_module_path(false)
        .typescript(false)
        .generate(&page)?;
    fs::copy(package.join("index.html"), page.join("index.html"))?;
    println!("python3 -m http.server --directory {} 8000", page.display());
    Ok(())
}
