//! Files that take effect while the node runs: certificates and keys of tokens.
//!
//! They are read again every [`LOOK_EVERY`]. Contents that differ take effect once two readings in a row agree, because a
//! certificate and its key are two files that are written one after the other. What cannot be used changes nothing: the node goes
//! on with what it has, and says so once. The files are read by a thread that may block, and no call of the system tells of
//! changes, because none does so for every file system and for the links by which containers are given secrets.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio_util::sync::CancellationToken;

/// How often the files are read.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The most bytes of a file. A set of keys or a chain of certificates has some thousand.
const BYTES_MAX: u64 = 1 << 20;

/// The contents of some files, in their order, or why they cannot be read.
type Contents = Result<Vec<Vec<u8>>, String>;
/// Puts contents into effect. An error changes nothing.
type Apply = Box<dyn Fn(&[Vec<u8>]) -> anyhow::Result<()> + Send>;

/// Files that belong together.
pub struct Reload {
    /// What the files are, for the log.
    what: &'static str,
    paths: Vec<PathBuf>,
    apply: Apply,
    /// What was put into effect last, or could not be.
    tried: Contents,
    /// What was read last, if it differs.
    changing: Option<Contents>,
}

impl Reload {
    /// Reads the files for the first time, and lets `begin` make what they are for and the way to change it.
    pub fn begin<T>(
        what: &'static str,
        paths: Vec<PathBuf>,
        begin: impl FnOnce(&[Vec<u8>]) -> anyhow::Result<(T, Apply)>,
    ) -> anyhow::Result<(T, Self)> {
        let contents = paths.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        let (made, apply) = begin(&contents)?;
        Ok((made, Self { what, paths, apply, tried: Ok(contents), changing: None }))
    }

    /// Reads the files, and puts them into effect if they have changed and stand still.
    fn look(&mut self) {
        let contents: anyhow::Result<Vec<_>> = self.paths.iter().map(read).collect();
        self.take(contents.map_err(|error| format!("{error:#}")));
    }

    fn take(&mut self, contents: Contents) {
        if contents == self.tried {
            self.changing = None;
            return;
        }
        if self.changing.as_ref() != Some(&contents) {
            self.changing = Some(contents);
            return;
        }
        self.changing = None;
        let outcome = match &contents {
            Ok(contents) => (self.apply)(contents).map_err(|error| format!("{error:#}")),
            Err(unreadable) => Err(unreadable.clone()),
        };
        let what = self.what;
        match outcome {
            Ok(()) => tracing::info!("{what} changed on disk and took effect"),
            Err(error) => {
                tracing::warn!(error, "{what} changed on disk and cannot be used; the node goes on with what it has")
            }
        }
        self.tried = contents;
    }
}

/// Follows the files until `stop`.
pub async fn follow(mut files: Vec<Reload>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let looking = tokio::task::spawn_blocking(move || {
            files.iter_mut().for_each(Reload::look);
            files
        });
        match stop.run_until_cancelled(looking).await {
            Some(looked) => files = looked.context("the files of certificates and keys could not be read")?,
            None => break,
        }
    }
    Ok(())
}

fn read(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    let mut contents = Vec::new();
    // Opening a pipe would wait for somebody who writes to it.
    let kind = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(kind.is_file(), "{} is not a regular file, which can be read again while the node runs", path.display());
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    file.take(BYTES_MAX + 1).read_to_end(&mut contents).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(contents.len() as u64 <= BYTES_MAX, "{} has more than {BYTES_MAX} bytes", path.display());
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Takes every text but "bad", and counts how often it is asked.
    fn files() -> (Arc<AtomicUsize>, Reload) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let apply: Apply = Box::new(move |contents| {
            counter.fetch_add(1, Ordering::Relaxed);
            ensure!(contents[0] != b"bad", "it is bad");
            Ok(())
        });
        let tried = Ok(vec![b"one".to_vec()]);
        (asked, Reload { what: "a text", paths: Vec::new(), apply, tried, changing: None })
    }

    fn contents(text: &str) -> Contents {
        Ok(vec![text.as_bytes().to_vec()])
    }

    #[test]
    fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let [pipe, file, link] = ["pipe", "file", "link"].map(|name| folder.path().join(name));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::fs::write(&file, "a secret").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read(&link).unwrap(), b"a secret");
        for other in [pipe, "/dev/zero".into(), folder.path().to_path_buf()] {
            let refused = read(&other).unwrap_err().to_string();
            assert!(refused.contains("is not a regular file"), "{refused}");
        }
    }

    #[test]
    fn contents_take_effect_once_two_readings_agree() {
        let (asked, mut files) = files();
        for (text, times) in
            [("one", 0), ("tw", 0), ("two", 0), ("two", 1), ("two", 1), ("one", 1), ("two", 1), ("one", 1), ("one", 2)]
        {
            files.take(contents(text));
            assert_eq!(asked.load(Ordering::Relaxed), times, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_tried_once_and_what_was_there_before_again() {
        let (asked, mut files) = files();
        for (now, times) in [
            (contents("bad"), 0),
            (contents("bad"), 1),
            (contents("bad"), 1),
            (Err("gone".to_owned()), 1),
            (Err("gone".to_owned()), 1),
            (contents("one"), 1),
            (contents("one"), 2),
        ] {
            files.take(now.clone());
            assert_eq!(asked.load(Ordering::Relaxed), times, "{now:?}");
        }
    }
}
