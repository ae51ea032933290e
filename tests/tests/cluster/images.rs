//! The images that users build: their runtime stage, as the cluster runs it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use stockwatch_tests::image_size;

fn root(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

/// The hash of each crate of Cargo.lock that is a registry's.
fn hashes() -> BTreeMap<(String, String), String> {
    let lock = std::fs::read_to_string(root("Cargo.lock")).unwrap();
    let package = |text: &str| {
        let field = |name: &str| {
            let (_, rest) = text.split_once(&format!("\n{name} = \""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        Some(((field("name")?, field("version")?), field("checksum")?))
    };
    lock.split("[[package]]").filter_map(package).collect()
}

#[test]
fn the_bill_of_materials_names_what_is_linked_with_the_hashes_of_the_lock() {
    let hashes = hashes();
    for name in ["stockwatch-operator", "stockwatch-worker"] {
        let made = Command::new(root("sbom.sh")).arg(name).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let bill: Value = serde_json::from_slice(&made.stdout).unwrap();
        assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
        assert_eq!(bill["metadata"]["component"]["name"], json!(name));
        let text = |part: &Value| part.as_str().unwrap().to_owned();
        let parts = bill["components"].as_array().unwrap();
        for part in parts {
            let (crate_name, version) = (text(&part["name"]), text(&part["version"]));
            let purl = format!("pkg:cargo/{crate_name}@{}", version.replace('+', "%2B"));
            assert_eq!(text(&part["purl"]), purl);
            assert!(!text(&part["licenses"][0]["expression"]).contains('/'), "{part}");
            match hashes.get(&(crate_name.clone(), version)) {
                Some(hash) => assert_eq!(text(&part["hashes"][0]["content"]), *hash, "{crate_name}"),
                None => assert!(crate_name.starts_with("stockwatch-"), "{crate_name} is not in Cargo.lock"),
            }
        }
        let has = |name: &str| parts.iter().any(|part| part["name"] == json!(name));
        assert!(has("rdkafka-sys") && has("stockwatch-crds"));
        assert!(!has("proptest") && !has("serde_derive"), "what only tests or the build use is not linked");
    }
}

#[test]
fn the_images_say_this_version() {
    for name in ["operator", "worker"] {
        let file = std::fs::read_to_string(root(&format!("Dockerfile.{name}"))).unwrap();
        assert!(file.contains(concat!("ARG VERSION=", env!("CARGO_PKG_VERSION"), "\n")), "{file}");
    }
}

#[test]
fn operator_and_worker_add_less_than_thirty_megabytes_to_their_base() {
    for name in ["operator", "worker"] {
        let size = image_size(name);
        eprintln!("{name}: {:.1} MB on top of its base", f64::from(size) / 1e6);
        assert!(size <= 30_000_000, "{name}: {size} bytes");
    }
}
