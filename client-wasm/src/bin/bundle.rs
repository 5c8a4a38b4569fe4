//! Makes what browsers load of the client's wasm, and holds it to its size.
//!
//!     bundle IN.wasm OUTDIR GZIP_BYTES_MAX
//!
//! What `wasm-bindgen --target web` does; a program of our own because installing that takes eight minutes. It must be of
//! wasm-bindgen's own version, which one lock file for both sees to.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;

const USAGE: &str = "usage: bundle IN.wasm OUTDIR GZIP_BYTES_MAX";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [input, out, max] = &args[..] else { anyhow::bail!(USAGE) };
    let max: u64 = max.parse().context(USAGE)?;
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(input)
        .web(true)?
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(out)?;
    let mut sum = 0;
    for name in ["ruang_client_bg.wasm", "ruang_client.js"] {
        let bytes =
            std::fs::read(Path::new(out).join(name)).with_context(|| format!("{name} was not made"))?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&bytes)?;
        let gzipped = gzip.finish()?.len() as u64;
        println!("{name}: {} bytes, {gzipped} gzipped", bytes.len());
        sum += gzipped;
    }
    println!("together {sum} bytes gzipped, at most {max}");
    ensure!(sum <= max, "the client is larger than it may be");
    Ok(())
}
