//! Writes the pictures of `docs/alarms.md` from what the core computes: `make pictures`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, dead_code)]

#[path = "../tests/kept/mod.rs"]
mod kept;
#[path = "../tests/page/mod.rs"]
mod page;

use page::Example;
use page::picture::svg;

fn main() -> std::io::Result<()> {
    for example in Example::ALL {
        let file = format!("{}/../docs/alarms/{}.svg", env!("CARGO_MANIFEST_DIR"), example.name());
        std::fs::write(file, svg(example))?;
    }
    Ok(())
}
