#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::metrics::Metrics;

fn document(tolerance: &str) -> String {
    format!(
        "apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch\nmetadata: {{name: tech}}\nspec:\n  \
         tickers: [{{symbol: META}}]\n  windows: [{{duration: 5m, tolerance: {tolerance}}}]\n  \
         kafka: {{bootstrapServers: 'kafka:9092'}}\n"
    )
}

struct Watched {
    live: Arc<Live>,
    _watch: FileWatch,
}

fn watched(path: &Path) -> Watched {
    let text = read(path).unwrap();
    let live = Arc::new(Live::new(&text, Arc::new(Metrics::new())).unwrap());
    let _watch = FileWatch::start(path, text, Arc::clone(&live)).unwrap();
    Watched { live, _watch }
}

fn within<T>(event: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), event).await }).expect("no event")
}

impl Watched {
    fn sees(&self, tolerance: &str) {
        let mut spec = self.live.subscribe();
        within(spec.wait_for(|live| live.spec.windows[0].tolerance.text == tolerance)).unwrap();
    }

    fn tells(&self, problem: &str) {
        let mut error = self.live.error();
        within(error.wait_for(|error| error.as_ref().is_some_and(|error| error.contains(problem)))).unwrap();
    }

    fn is_content(&self) {
        within(self.live.error().wait_for(Option::is_none)).unwrap();
    }
}

fn directory_with(tolerance: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("tech.yaml");
    fs::write(&file, document(tolerance)).unwrap();
    (directory, file)
}

#[test]
fn a_file_renamed_into_place_is_live() {
    let (directory, file) = directory_with("1%");
    let watched = watched(&file);
    for tolerance in ["2%", "3%", "4%"] {
        let other = directory.path().join(".tech.yaml.swp");
        fs::write(&other, document(tolerance)).unwrap();
        fs::rename(&other, &file).unwrap();
        watched.sees(tolerance);
    }
}

#[test]
fn a_link_swapped_as_a_mounted_config_map_does_is_live() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    let version = |name: &str, tolerance: &str| {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("tech.yaml"), document(tolerance)).unwrap();
    };
    version("..1", "1%");
    symlink("..1", at("..data")).unwrap();
    symlink("..data/tech.yaml", at("tech.yaml")).unwrap();
    let watched = watched(&at("tech.yaml"));
    for (old, new, tolerance) in [("..1", "..2", "2%"), ("..2", "..3", "3%")] {
        version(new, tolerance);
        symlink(new, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        fs::remove_dir_all(at(old)).unwrap();
        watched.sees(tolerance);
    }
}

#[test]
fn a_file_truncated_and_written_in_pieces_is_live_when_it_is_whole() {
    let (_directory, file) = directory_with("1%");
    let watched = watched(&file);
    let text = document("2%");
    let mut writer = fs::File::create(&file).unwrap();
    for piece in text.as_bytes().chunks(40) {
        writer.write_all(piece).unwrap();
    }
    drop(writer);
    watched.sees("2%");
    watched.is_content();
}

#[test]
fn a_writer_that_keeps_the_file_open_is_read_once_it_is_quiet() {
    let (_directory, file) = directory_with("1%");
    let watched = watched(&file);
    let mut writer = fs::File::create(&file).unwrap();
    writer.write_all(document("2%").as_bytes()).unwrap();
    watched.sees("2%");
    drop(writer);
}

#[test]
fn a_file_deleted_and_created_again_is_live() {
    let (_directory, file) = directory_with("1%");
    let watched = watched(&file);
    fs::remove_file(&file).unwrap();
    watched.tells("cannot be read");
    fs::write(&file, document("2%")).unwrap();
    watched.sees("2%");
    watched.is_content();
}

#[test]
fn a_directory_deleted_and_created_again_is_watched_again() {
    let (directory, _) = directory_with("1%");
    let inner = directory.path().join("inner");
    let file = inner.join("tech.yaml");
    fs::create_dir(&inner).unwrap();
    fs::write(&file, document("1%")).unwrap();
    let watched = watched(&file);
    fs::remove_dir_all(&inner).unwrap();
    watched.tells("cannot be read");
    fs::create_dir(&inner).unwrap();
    fs::write(&file, document("2%")).unwrap();
    watched.sees("2%");
}

#[test]
fn a_link_to_a_file_elsewhere_follows_that_file() {
    let (_elsewhere, target) = directory_with("1%");
    let directory = TempDir::new().unwrap();
    let link = directory.path().join("link.yaml");
    symlink(&target, &link).unwrap();
    let watched = watched(&link);
    fs::write(&target, document("2%")).unwrap();
    watched.sees("2%");
}

#[test]
fn a_bad_file_is_refused_and_the_last_good_one_goes_on_until_it_is_mended() {
    let (_directory, file) = directory_with("1%");
    let watched = watched(&file);
    fs::write(&file, document("lots")).unwrap();
    watched.tells("spec.windows[0].tolerance");
    watched.sees("1%");
    fs::write(&file, document("2%")).unwrap();
    watched.sees("2%");
    watched.is_content();
}

#[test]
fn a_change_between_loading_and_watching_is_not_lost() {
    let (_directory, file) = directory_with("1%");
    let text = read(&file).unwrap();
    let live = Arc::new(Live::new(&text, Arc::new(Metrics::new())).unwrap());
    fs::write(&file, document("2%")).unwrap();
    let _watch = FileWatch::start(&file, text, Arc::clone(&live)).unwrap();
    Watched { live, _watch }.sees("2%");
}

#[test]
fn what_is_no_readable_text_is_refused_without_waiting() {
    let directory = TempDir::new().unwrap();
    let text = |path: &Path| read(path).unwrap_err().to_string();
    assert!(text(directory.path()).contains("is not a file"));
    assert!(text(&directory.path().join("none")).contains("cannot be read"));
    let binary = directory.path().join("binary");
    fs::write(&binary, [0xff, 0xfe]).unwrap();
    assert!(text(&binary).contains("UTF-8"));
    fs::File::create(&binary).unwrap().set_len(1 << 40).unwrap();
    assert!(text(&binary).contains("larger"));
}
