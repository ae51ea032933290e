//! The images that users build: their runtime stage, as the cluster runs it.

use stockwatch_tests::image_size;

#[test]
fn operator_and_worker_add_less_than_thirty_megabytes_to_their_base() {
    for name in ["operator", "worker"] {
        let size = image_size(name);
        eprintln!("{name}: {:.1} MB on top of its base", f64::from(size) / 1e6);
        assert!(size <= 30_000_000, "{name}: {size} bytes");
    }
}
