//! How the program is linked.

fn main() {
    // Addresses to relocate take an eighth of the space: the loader reads them all, and its pages stay in memory.
    println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    println!("cargo:rerun-if-changed=build.rs");
}
