//! Delivers a file's text to its reader, such as the live spec, whenever it changes.
//!
//! Whole files (one was renamed, linked or mounted into place, or its writer closed it) are read at once. After
//! anything else the file must be quiet for a moment, since its writer may still be writing.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::accept::Refusal;
use super::live::Live;

/// A file that changed without saying that it is whole is read after this long without another change.
const QUIET: Duration = Duration::from_millis(50);

/// How often the file is looked at where no event comes: network and foreign file systems have none.
const POLL: Duration = Duration::from_secs(1);

/// Reads a file that may hold a StockWatch: a regular one, UTF-8, and not larger than any legal one.
pub fn read(path: &Path) -> Result<String, Refusal> {
    let unreadable = |problem: String| Refusal::Unreadable { path: path.to_owned(), problem };
    let io = |error: std::io::Error| unreadable(format!("cannot be read: {error}"));
    // A pipe would be waited for.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(unreadable("is not a file".into()));
    }
    let limit = u64::try_from(stockwatch_crds::MAX_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(io)?.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() > stockwatch_crds::MAX_BYTES {
        return Err(unreadable(format!("is larger than {limit} bytes, more than any StockWatch")));
    }
    String::from_utf8(bytes).map_err(|error| unreadable(format!("is not UTF-8 text: {error}")))
}

/// Who is told of a file.
pub trait Reader: Send + 'static {
    /// Its text is another one.
    fn changed(&self, text: &str);
    /// It cannot be read any more.
    fn lost(&self, refusal: &Refusal);
}

impl Reader for Arc<Live> {
    fn changed(&self, text: &str) {
        self.offer(text);
    }

    fn lost(&self, refusal: &Refusal) {
        self.refuse(refusal);
    }
}

/// Watches until dropped.
#[derive(Debug)]
pub struct FileWatch {
    signals: mpsc::Sender<Notice>,
    thread: Option<JoinHandle<()>>,
}

impl FileWatch {
    /// Tells the reader each new text of the file; `loaded` is the text that it knows.
    ///
    /// Fails only where no thread can be started. Without file system events the file is polled, and the log says so.
    pub fn start(path: &Path, loaded: String, reader: impl Reader) -> std::io::Result<Self> {
        let path = std::path::absolute(path)?;
        let (signals, received) = mpsc::channel();
        let events = signals.clone();
        let handler = move |event: notify::Result<notify::Event>| {
            let event = event.unwrap_or_else(|_| notify::Event::new(EventKind::Any));
            if let Some(change) = Change::of(&event) {
                // Nobody listens any more: the watch is being dropped.
                let _ = events.send(Notice::Changed(change, event.paths));
            }
        };
        let watcher = match RecommendedWatcher::new(handler, notify::Config::default()) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "no file system events: the file is looked at once a second");
                None
            }
        };
        let watch = Watch {
            place: Location::of(&path),
            stamp: Stamp::of(&path),
            path,
            delivered: Ok(loaded),
            reader: Box::new(reader),
            watcher,
            watched: BTreeSet::new(),
        };
        let thread = thread::Builder::new().name("config-file".into()).spawn(move || watch.run(&received))?;
        Ok(Self { signals, thread: Some(thread) })
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        let _ = self.signals.send(Notice::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
enum Notice {
    Changed(Change, Vec<PathBuf>),
    Stop,
}

/// What an event says of the file that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Its text is complete.
    Whole,
    /// It may be read while its writer is still writing.
    Touched,
}

impl Change {
    fn of(event: &notify::Event) -> Option<Self> {
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => Some(Self::Whole),
            // Among these are our own reads.
            EventKind::Access(_) => None,
            _ => Some(Self::Touched),
        }
    }
}

/// Where the file is: links are followed, since events come only for the directories that really hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Location {
    directories: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
}

impl Location {
    fn of(path: &Path) -> Self {
        let named = path.parent().and_then(|parent| parent.canonicalize().ok()).zip(path.file_name());
        let files: BTreeSet<PathBuf> = named
            .map(|(directory, name)| directory.join(name))
            .into_iter()
            .chain(path.canonicalize().ok())
            .collect();
        let directories = files.iter().filter_map(|file| file.parent().map(Path::to_owned)).collect();
        Self { directories, files }
    }
}

/// What differs when another file was put in place.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(Option<(PathBuf, u64, SystemTime)>);

impl Stamp {
    fn of(path: &Path) -> Self {
        let stamp = || {
            let metadata = std::fs::metadata(path).ok()?;
            Some((path.canonicalize().ok()?, metadata.len(), metadata.modified().ok()?))
        };
        Self(stamp())
    }
}

struct Watch {
    path: PathBuf,
    place: Location,
    stamp: Stamp,
    /// The last text or error that was told.
    delivered: Result<String, String>,
    reader: Box<dyn Reader>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl Watch {
    fn run(mut self, signals: &mpsc::Receiver<Notice>) {
        self.follow();
        // It may have changed since it was loaded.
        let mut settled = Some(Instant::now());
        loop {
            let wait = settled.map_or(POLL, |at| at.saturating_duration_since(Instant::now()));
            match signals.recv_timeout(wait) {
                Ok(Notice::Changed(change, paths)) => match self.concerns(change, &paths) {
                    Some(Change::Whole) => {
                        settled = None;
                        self.deliver();
                    }
                    Some(Change::Touched) => settled = Some(Instant::now() + QUIET),
                    None => {}
                },
                Err(RecvTimeoutError::Timeout) if settled.take().is_some() => self.deliver(),
                Err(RecvTimeoutError::Timeout) => {
                    if self.differs(&read(&self.path)) {
                        settled = Some(Instant::now() + QUIET);
                    }
                }
                Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.follow();
        }
    }

    /// What an event means for our file: one that names it means what it says, one that does not may have put another
    /// file behind a link of its path.
    fn concerns(&mut self, change: Change, paths: &[PathBuf]) -> Option<Change> {
        // The watch of a directory ends with the directory.
        self.watched.retain(|directory| !paths.contains(directory));
        if paths.is_empty() || paths.iter().any(|path| self.place.files.contains(path)) {
            return Some(change);
        }
        (Stamp::of(&self.path) != self.stamp).then_some(change)
    }

    fn differs(&self, found: &Result<String, Refusal>) -> bool {
        match (found, &self.delivered) {
            (Ok(text), Ok(delivered)) => text != delivered,
            (Err(refusal), Err(told)) => refusal.to_string() != *told,
            _ => true,
        }
    }

    fn deliver(&mut self) {
        self.stamp = Stamp::of(&self.path);
        let found = read(&self.path);
        if !self.differs(&found) {
            return;
        }
        self.delivered = match found {
            Ok(text) => {
                self.reader.changed(&text);
                Ok(text)
            }
            Err(refusal) => {
                self.reader.lost(&refusal);
                Err(refusal.to_string())
            }
        };
    }

    /// Watches the directories that hold the file now.
    fn follow(&mut self) {
        self.place = Location::of(&self.path);
        let Some(watcher) = &mut self.watcher else { return };
        let wanted = &self.place.directories;
        for gone in self.watched.difference(wanted) {
            // It may have been deleted, and its watch with it.
            let _ = watcher.unwatch(gone);
        }
        self.watched.retain(|directory| wanted.contains(directory));
        for directory in wanted {
            if !self.watched.contains(directory)
                && watcher.watch(directory, RecursiveMode::NonRecursive).is_ok()
            {
                self.watched.insert(directory.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
