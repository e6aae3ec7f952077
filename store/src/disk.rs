//! The file: an embedded database (redb) with a table for each kind of record. A transaction is on disk as a whole or not at all,
//! whenever the process or the machine ends.
//!
//! A file of ours that cannot be read is set aside under another name, and a new one begins. A file that never was a database of ours
//! is left as it is, and ends the start: `state.path` may name somebody's secret. After an error of the disk the database is
//! opened anew with the next write, because it refuses everything until then.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use onmic_media::life::guarded;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition, TableError,
};
use thiserror::Error;

use crate::THREAD;
use crate::kept::Kept;
use crate::key::Kind;
use crate::pending::Batch;

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const SECRETS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("secrets");

/// Every kind of record.
const KINDS: [Kind; 2] = [Kind::State, Kind::Bans];

/// Returns the table of a kind of record.
const fn table(kind: Kind) -> TableDefinition<'static, &'static str, &'static [u8]> {
    match kind {
        Kind::State => TableDefinition::new("rooms"),
        Kind::Bans => TableDefinition::new("bans"),
    }
}

/// The first bytes of a file of redb. It writes them last of all when it makes a file: until then they are zero.
const MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";

/// The most files that are set aside beside each other.
const ASIDE_MAX: u32 = 100;

/// The most memory that the database keeps pages in.
const CACHE_BYTES: usize = 8 << 20;

/// What a store cannot do. Its Display is a sentence for the person who starts the server.
#[derive(Debug, Error)]
pub enum Error {
    /// Another process has the file open.
    #[error("the state in {0} is in use by another process: each node has its own state.path")]
    InUse(PathBuf),
    /// The file cannot be made or opened.
    #[error("the state in {path} cannot be opened: check that the folder exists and that this user may write there")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is something else.
    #[error(
        "{0} is not the state of a node, and is left as it is: name another file in state.path, which is made if it does not exist"
    )]
    NotOurs(PathBuf),
    /// There are as many unreadable files beside the state as are kept.
    #[error(
        "the state in {0} cannot be read, and {ASIDE_MAX} files are set aside beside it already: look at them, and move them away"
    )]
    AsideFull(PathBuf),
    /// The thread cannot be started.
    #[error("the thread of the store does not start")]
    Thread(#[source] io::Error),
    /// The disk failed.
    #[error("the disk failed")]
    Io(#[source] io::Error),
    /// The database refused.
    #[error("the database failed")]
    Database(#[source] Box<redb::Error>),
}

impl<E: Into<redb::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Io(error) => Self::Io(error),
            error => Self::Database(Box::new(error)),
        }
    }
}

/// Writes changes together.
pub trait Disk: Send {
    /// Writes all changes, or none.
    fn write(&mut self, batch: &Batch) -> Result<(), Error>;
}

/// The database in a file.
pub struct File {
    path: PathBuf,
    /// `None` after an error, until the next write.
    database: Option<Database>,
}

impl File {
    /// Opens the file, or makes it, and reads what is in it.
    pub fn open(path: &Path) -> Result<(Self, Kept), Error> {
        let (database, kept) = match Opening::of(path) {
            Opening::Read(database, kept) => (Some(database), kept),
            Opening::InUse => return Err(Error::InUse(path.to_owned())),
            Opening::NotOurs => return Err(Error::NotOurs(path.to_owned())),
            Opening::Refused(source) => return Err(Error::Open { path: path.to_owned(), source }),
            Opening::Full(error) => {
                let path = path.display();
                tracing::error!(%path, %error, "the disk is full, so the state of rooms is neither read nor written for now");
                (None, Kept::default())
            }
            Opening::Unreadable(reason) => {
                let aside = set_aside(path)?;
                let (path, aside) = (path.display(), aside.display());
                tracing::error!(%path, %aside, reason, "the state of rooms cannot be read; it is set aside, and rooms begin anew");
                (None, Kept::default())
            }
        };
        Ok((Self { path: path.to_owned(), database }, kept))
    }
}

impl Disk for File {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        write(&database, batch)?;
        self.database = Some(database);
        Ok(())
    }
}

/// How the opening of a file went.
enum Opening {
    Read(Database, Kept),
    InUse,
    NotOurs,
    Full(io::Error),
    /// The system does not give the file to this process.
    Refused(io::Error),
    /// The contents are not what this version reads.
    Unreadable(String),
}

impl Opening {
    fn of(path: &Path) -> Self {
        // The database may panic over contents that it did not write.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = open(path)?;
            let kept = read(&database)?;
            Ok::<_, Error>((database, kept))
        }));
        match opened {
            Ok(Ok((database, kept))) => Self::Read(database, kept),
            Ok(Err(Error::InUse(_))) => Self::InUse,
            Ok(Err(Error::NotOurs(_))) => Self::NotOurs,
            Ok(Err(Error::Io(error))) => match error.kind() {
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof => Self::Unreadable(error.to_string()),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Self::Full(error),
                _ => Self::Refused(error),
            },
            Ok(Err(error)) => Self::Unreadable(format!("{error}: {}", reason(&error))),
            Err(_) => Self::Unreadable("its contents made the database panic".to_owned()),
        }
    }
}

fn reason(error: &Error) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

/// Opens the database. Its file is for this user alone, because there are secrets in it.
fn open(path: &Path) -> Result<Database, Error> {
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(Error::Io)?;
    if !is_ours(file).map_err(Error::Io)? {
        return Err(Error::NotOurs(path.to_owned()));
    }
    match Builder::new().set_cache_size(CACHE_BYTES).create(path) {
        Err(DatabaseError::DatabaseAlreadyOpen) => Err(Error::InUse(path.to_owned())),
        Err(DatabaseError::Storage(StorageError::Io(error))) => Err(Error::Io(error)),
        opened => Ok(opened?),
    }
}

/// Returns whether a file begins as a database does, as a whole or cut off. An empty one may become one. So may a device, which the
/// database refuses itself.
fn is_ours(file: fs::File) -> io::Result<bool> {
    if !file.metadata()?.is_file() {
        return Ok(true);
    }
    let mut begin = Vec::with_capacity(MAGIC.len());
    file.take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    Ok(MAGIC.starts_with(&begin) || begin.iter().all(|byte| *byte == 0))
}

fn read(database: &Database) -> Result<Kept, Error> {
    let reading = database.begin_read()?;
    let mut kept = Kept::default();
    // A table is made by the first write to it.
    let there = |opened| match opened {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        opened => opened.map(Some),
    };
    for kind in KINDS {
        let Some(table) = there(reading.open_table(table(kind)))? else { continue };
        for record in table.iter()? {
            let (room, record) = record?;
            kept.records.push(((kind, room.value().to_owned()), record.value().to_owned()));
        }
    }
    if let Some(table) = there(reading.open_table(SECRETS))? {
        for record in table.iter()? {
            let (name, secret) = record?;
            kept.secrets.push((name.value().to_owned(), secret.value().to_owned()));
        }
    }
    match reading.open_table(EVENTS) {
        Err(TableError::TableDoesNotExist(_)) => {}
        table => {
            for record in table?.iter()? {
                let (number, event) = record?;
                kept.events.push((number.value(), event.value().to_owned()));
            }
        }
    }
    Ok(kept)
}

fn write(database: &Database, batch: &Batch) -> Result<(), Error> {
    let writing = database.begin_write()?;
    {
        for kind in KINDS {
            let mut table = writing.open_table(table(kind))?;
            for ((_, room), record) in batch.records.iter().filter(|((of, _), _)| *of == kind) {
                match record {
                    // A record that cannot be rendered costs its own room what has changed.
                    Some(record) => {
                        if let Some(bytes) = guarded(THREAD, record) {
                            table.insert(room.as_str(), bytes.as_slice())?;
                        }
                    }
                    None => drop(table.remove(room.as_str())?),
                }
            }
        }
        let mut events = writing.open_table(EVENTS)?;
        for (number, event) in &batch.events {
            match event {
                Some(event) => drop(events.insert(number, event.as_slice())?),
                None => drop(events.remove(number)?),
            }
        }
        let mut secrets = writing.open_table(SECRETS)?;
        for (name, secret) in &batch.secrets {
            secrets.insert(*name, secret.as_slice())?;
        }
    }
    writing.commit()?;
    Ok(())
}

/// Renames a file that cannot be read. One that was set aside before stays. Returns the new name.
fn set_aside(path: &Path) -> Result<PathBuf, Error> {
    let named = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(".unreadable");
        if number > 1 {
            name.push(format!(".{number}"));
        }
        PathBuf::from(name)
    };
    let free = (1..=ASIDE_MAX).map(named).find(|aside| fs::symlink_metadata(aside).is_err());
    let aside = free.ok_or_else(|| Error::AsideFull(path.to_owned()))?;
    fs::rename(path, &aside).map_err(|source| Error::Open { path: path.to_owned(), source })?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::key::Key;

    fn state(room: &str) -> Key {
        (Kind::State, room.to_owned())
    }

    fn batch() -> Batch {
        let mut batch = Batch::default();
        batch.records.insert(state("red"), Some(Box::new(|| b"a room".to_vec())));
        batch.records.insert((Kind::Bans, "red".to_owned()), Some(Box::new(|| b"bans".to_vec())));
        batch.events.insert(10, Some(b"ten".to_vec()));
        batch.events.insert(9, Some(b"nine".to_vec()));
        batch.secrets.insert("key", b"of the node".to_vec());
        batch
    }

    #[test]
    fn what_is_written_is_read_again_and_what_is_removed_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut file, kept) = File::open(&path).unwrap();
        assert_eq!(kept, Kept::default());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        file.write(&batch()).unwrap();
        drop(file);
        let (mut file, kept) = File::open(&path).unwrap();
        let bans = (Kind::Bans, "red".to_owned());
        assert_eq!(kept.records, [(state("red"), b"a room".to_vec()), (bans.clone(), b"bans".to_vec())]);
        assert_eq!(kept.events, [(9, b"nine".to_vec()), (10, b"ten".to_vec())]);
        assert_eq!(kept.secret("key"), Some(&b"of the node"[..]));
        let mut gone = Batch::default();
        gone.records.insert(state("red"), None);
        gone.events.insert(9, None);
        file.write(&gone).unwrap();
        drop(file);
        let (_file, kept) = File::open(&path).unwrap();
        assert_eq!((kept.events.len(), kept.secrets.len()), (1, 1));
        assert_eq!(kept.records, [(bans, b"bans".to_vec())], "each record is forgotten for itself");
    }

    #[test]
    fn a_record_that_cannot_be_rendered_costs_its_own_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut file, _) = File::open(&path).unwrap();
        let mut batch = batch();
        batch.records.insert(state("odd"), Some(Box::new(|| panic!("a fault of the renderer"))));
        file.write(&batch).unwrap();
        drop(file);
        let kept = File::open(&path).unwrap().1;
        assert!(kept.records.iter().all(|((_, room), _)| room == "red") && kept.records.len() == 2);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_set_aside_and_a_new_one_begins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let mut written = {
            let (mut file, _) = File::open(&path).unwrap();
            file.write(&batch()).unwrap();
            drop(file);
            fs::read(&path).unwrap()
        };
        written.truncate(written.len() / 3);
        let unfinished = [vec![0; 100_000], written.clone(), written[..5].to_vec()];
        for (contents, aside) in unfinished.iter().zip(["state.unreadable", "state.unreadable.2", "state.unreadable.3"])
        {
            fs::write(&path, contents).unwrap();
            let (mut file, kept) = File::open(&path).unwrap();
            assert_eq!(kept, Kept::default());
            assert_eq!(fs::read(folder.path().join(aside)).unwrap(), *contents);
            file.write(&batch()).unwrap();
            drop(file);
            assert_eq!(File::open(&path).unwrap().1.records.len(), 2);
        }
    }

    #[test]
    fn a_file_that_is_something_else_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for contents in ["a secret of somebody, and not a database\n", "x", "{}"] {
            fs::write(&path, contents).unwrap();
            let refused = File::open(&path).err().unwrap();
            assert!(matches!(refused, Error::NotOurs(_)) && refused.to_string().contains("state.path"), "{refused}");
            assert_eq!(fs::read_to_string(&path).unwrap(), contents);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        fs::write(&path, "").unwrap();
        let (mut file, _) = File::open(&path).unwrap();
        file.write(&batch()).unwrap();
    }

    #[test]
    fn a_file_that_another_has_and_a_folder_that_is_missing_end_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let _first = File::open(&path).unwrap();
        assert!(matches!(File::open(&path), Err(Error::InUse(_))));
        assert!(matches!(File::open(&folder.path().join("none/state")), Err(Error::Open { .. })));
        assert!(matches!(File::open(folder.path()), Err(Error::Open { .. })));
    }
}
