//! Writes the CustomResourceDefinition of StockWatch: to the file that the first argument names, else to
//! `crds/stockwatch.yaml` of this source tree.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/stockwatch.yaml");
    let path = std::env::args_os().nth(1).map_or_else(|| PathBuf::from(default), PathBuf::from);
    std::fs::write(path, stockwatch_crds::definition_yaml()?)?;
    Ok(())
}
