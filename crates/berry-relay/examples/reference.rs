//! Writes what describes the configuration: `docs/configuration.md` and the JSON Schema.
//!
//! `cargo run -p berry-relay --example reference`, after a key or its comment has changed.

use std::io;

fn main() -> io::Result<()> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    for (path, text) in berry_relay::reference::files() {
        std::fs::write(format!("{root}/{path}"), text)?;
    }
    Ok(())
}
