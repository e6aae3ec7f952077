//! The options that name files: no two of them name the same one.
//!
//! The state is written, and everything else is read, so a state at the path of a secret would take its place.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Config, ConfigError};

/// What tells a file from others.
#[derive(PartialEq)]
enum Identity {
    /// The device and the number of a file that is there, whatever names it has.
    There(u64, u64),
    /// The path of one that is not there yet, as far as its folders are.
    NotYet(PathBuf),
}

impl Identity {
    fn of(path: &Path) -> Self {
        if let Ok(file) = fs::metadata(path) {
            return Self::There(file.dev(), file.ino());
        }
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = whole.parent().and_then(|folder| folder.canonicalize().ok());
        Self::NotYet(match (folder, whole.file_name()) {
            (Some(folder), Some(name)) => folder.join(name),
            _ => whole,
        })
    }
}

impl Config {
    /// Checks that no two options name one file. A certificate and its key may be in one.
    pub(super) fn check_paths(&self, config: Option<&Path>) -> Result<(), ConfigError> {
        let options = [
            ("auth.secret_file", &self.auth.secret_file),
            ("auth.keys_file", &self.auth.keys_file),
            ("turn.secret_file", &self.turn.secret_file),
            ("http.tls_certificate", &self.http.tls_certificate),
            ("http.tls_key", &self.http.tls_key),
            ("state.path", &self.state.path),
        ];
        let own = config.map(|path| ("--config", path));
        let named =
            options.iter().filter(|(_, path)| !path.is_empty()).map(|(option, path)| (*option, Path::new(path)));
        let mut files: Vec<(&str, Identity)> = Vec::new();
        for (option, path) in own.into_iter().chain(named) {
            let file = Identity::of(path);
            let same = files.iter().find(|(_, other)| *other == file).map(|(other, _)| *other);
            match same {
                Some("http.tls_certificate") if option == "http.tls_key" => {}
                Some(other) => return Err(ConfigError::SameFile { options: [other, option], path: path.to_owned() }),
                None => files.push((option, file)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn two_options_do_not_name_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(at("secret"), "a secret").unwrap();
        symlink(at("secret"), at("link")).unwrap();
        fs::hard_link(at("secret"), at("second name")).unwrap();
        let check = |secret: &str, state: &str, config: Option<&str>| {
            let mut all = Config::default();
            (all.auth.secret_file, all.state.path) = (secret.to_owned(), state.to_owned());
            all.check_paths(config.map(Path::new)).map_err(|error| error.to_string())
        };
        let (secret, state) = (at("secret"), at("state"));
        assert_eq!(check(&secret, &state, Some(&at("config"))), Ok(()));
        for same in [&secret, &at("link"), &at("second name"), &at("./secret")] {
            let refused = check(&secret, same, None).unwrap_err();
            assert!(refused.contains("auth.secret_file and state.path"), "{refused}");
        }
        let not_there = check(&at("none"), &at("./none"), None).unwrap_err();
        assert!(not_there.contains("auth.secret_file and state.path"), "{not_there}");
        let own = check("", &secret, Some(&at("link"))).unwrap_err();
        assert!(own.contains("--config and state.path"), "{own}");
        let mut both = Config::default();
        (both.http.tls_certificate, both.http.tls_key) = (secret.clone(), secret.clone());
        assert!(both.check_paths(None).is_ok(), "a certificate and its key may be in one file");
        both.state.path = secret;
        assert!(both.check_paths(None).is_err());
    }
}
