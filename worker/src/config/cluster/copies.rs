//! The copies of the StockWatch that a worker starts with while the API server is away.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use stockwatch_crds::LoadError;

use super::document::Document;
use super::document::Metadata;
use crate::config::accept::LiveSpec;
use crate::config::file;

/// The key of the ConfigMap, and the file's name in both directories.
const FILE: &str = "stockwatch.json";

/// Where the copies are.
#[derive(Debug, Clone)]
pub struct Copies {
    mounted: PathBuf,
    own: PathBuf,
}

impl Copies {
    /// The operator's copy is in the first directory, the worker writes its own into the second.
    pub fn new(spec_directory: &Path, state_directory: &Path) -> Self {
        Self { mounted: spec_directory.join(FILE), own: state_directory.join(FILE) }
    }

    /// The operator's copy, which comes late.
    pub fn mounted(&self) -> &Path {
        &self.mounted
    }

    /// Both copies that can be read, the newer one first.
    pub fn read(&self) -> Vec<Document> {
        let read = |path: &PathBuf| {
            let text = file::read(path).map_err(|refusal| refusal.to_string()).ok()?;
            let document = Document::parse(&text);
            document.inspect_err(|error| tracing::warn!(path = %path.display(), %error, "not a copy")).ok()
        };
        let mut copies: Vec<Document> = [&self.own, &self.mounted].into_iter().filter_map(read).collect();
        copies.sort_by_key(|copy| std::cmp::Reverse(copy.metadata.generation));
        copies
    }

    /// Returns the spec of the newest good copy that `is_meant`: what a worker starts with while the API server is away.
    /// `None`: there is no such copy.
    ///
    /// # Errors
    /// No copy is good: what is wrong with the newest.
    pub fn newest_good(&self, is_meant: impl Fn(&Metadata) -> bool) -> Result<Option<LiveSpec>, LoadError> {
        let mut wrong = None;
        for copy in self.read().iter().filter(|copy| is_meant(&copy.metadata)) {
            match copy.load() {
                Ok(spec) => return Ok(Some(spec)),
                Err(error) => _ = wrong.get_or_insert(error),
            }
        }
        wrong.map_or(Ok(None), Err)
    }

    /// Writes the own copy: whole or not at all. Without it the worker runs all the same.
    pub fn keep(&self, document: &Document) {
        if let Err(error) = self.write(document) {
            tracing::warn!(path = %self.own.display(), %error, "the spec could not be copied");
        }
    }

    fn write(&self, document: &Document) -> io::Result<()> {
        let new = self.own.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(document)?)?;
        // Before its name says that it is whole.
        file.sync_data()?;
        std::fs::rename(&new, &self.own)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::super::document::tests::document;
    use super::*;

    fn directories() -> (tempfile::TempDir, tempfile::TempDir, Copies) {
        let (spec, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let copies = Copies::new(spec.path(), state.path());
        (spec, state, copies)
    }

    fn generations(copies: &Copies) -> Vec<u64> {
        copies.read().iter().map(|copy| copy.metadata.generation).collect()
    }

    #[test]
    fn the_newer_copy_comes_first_whichever_it_is() {
        let (_spec, _state, copies) = directories();
        assert!(copies.read().is_empty());
        fs::write(copies.mounted(), serde_json::to_string(&document("a", 3, "1%")).unwrap()).unwrap();
        copies.keep(&document("a", 4, "2%"));
        assert_eq!(generations(&copies), [4, 3]);
        fs::write(copies.mounted(), serde_json::to_string(&document("a", 5, "1%")).unwrap()).unwrap();
        assert_eq!(generations(&copies), [5, 4]);
    }

    #[test]
    fn a_broken_copy_is_passed_over() {
        let (_spec, state, copies) = directories();
        fs::write(copies.mounted(), "{\"apiVersion\":").unwrap();
        copies.keep(&document("a", 4, "2%"));
        assert_eq!(generations(&copies), [4]);
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1, "nothing half written is left");
    }

    #[test]
    fn the_newest_good_copy_counts_and_without_one_what_is_wrong_with_the_newest() {
        let (_spec, _state, copies) = directories();
        let newest = || copies.newest_good(|_| true).map(|spec| spec.and_then(|spec| spec.generation));
        assert_eq!(newest().unwrap(), None);
        copies.keep(&document("a", 4, "lots"));
        assert!(newest().unwrap_err().to_string().contains("tolerance"));
        fs::write(copies.mounted(), serde_json::to_string(&document("a", 3, "1%")).unwrap()).unwrap();
        assert_eq!(newest().unwrap(), Some(3));
        assert!(copies.newest_good(|metadata| metadata.uid == "b").unwrap().is_none());
    }

    #[test]
    fn a_directory_that_cannot_be_written_stops_nothing() {
        let (_spec, state, copies) = directories();
        drop(state);
        copies.keep(&document("a", 4, "2%"));
        assert!(copies.read().is_empty());
    }
}
