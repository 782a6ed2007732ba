//! Where a PostgreSQL server lies on this machine.
//!
//! The usual places are looked through in order, the first usable one wins: a folder that holds both `initdb` and `postgres`
//! (symbolic links resolved), of version 14 or later, which the user that will run the server may execute.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::user::ServerUser;

/// The oldest major version that Posthaste works with.
pub const OLDEST_MAJOR: u32 = 14;

/// Where to look.
#[derive(Clone, Debug)]
pub struct Search {
    /// Folders to look into, in this order.
    pub places: Vec<PathBuf>,
    /// Whether a build may be fetched from the network when none of them will do.
    pub allow_download: bool,
}

/// A usable server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The folder of `initdb` and `postgres`.
    pub folder: PathBuf,
    /// The server's major version, such as 17.
    pub major: u32,
}

/// What a search found.
#[derive(Debug, Default)]
pub struct Found {
    /// The usable servers, in the order of the places.
    pub usable: Vec<Binaries>,
    /// What does not do, and why.
    pub unusable: Vec<String>,
}

impl Search {
    /// `PATH`, `pg_config --bindir`, then where Debian, RPM, Homebrew and Postgres.app put it; else a download.
    pub fn usual() -> Self {
        let mut places: Vec<PathBuf> =
            std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        places.extend(pg_config_bindir());
        for (parent, prefix, rest) in [
            ("/usr/lib/postgresql", "", "bin"),
            ("/usr", "pgsql-", "bin"),
            ("/opt/homebrew/opt", "postgresql", "bin"),
            ("/usr/local/opt", "postgresql", "bin"),
            ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
        ] {
            places.extend(newest_first(Path::new(parent), prefix, rest));
        }
        let mut seen = HashSet::new();
        places.retain(|place| seen.insert(place.clone()));
        Self { places, allow_download: true }
    }

    /// Only this folder, nothing else.
    pub fn only(folder: PathBuf) -> Self {
        Self { places: vec![folder], allow_download: false }
    }

    /// Looks into every place, as the user that will run the server.
    pub fn find(&self, user: &ServerUser) -> Found {
        let mut found = Found::default();
        let mut seen = Vec::new();
        for place in &self.places {
            // A folder of links, such as /usr/local/bin, stands for where the links lead to.
            let Ok(postgres) = place.join("postgres").canonicalize() else {
                continue;
            };
            let Some(folder) = postgres.parent().map(Path::to_owned) else {
                continue;
            };
            if seen.contains(&folder) {
                continue;
            }
            match inspect(&folder, user) {
                Ok(binaries) => found.usable.push(binaries),
                Err(reason) => found.unusable.push(reason),
            }
            seen.push(folder);
        }
        found
    }
}

/// The server in `folder`, or why it does not do.
pub(super) fn inspect(folder: &Path, user: &ServerUser) -> Result<Binaries, String> {
    if !folder.join("initdb").is_file() {
        return Err(format!("{} has postgres but no initdb", folder.display()));
    }
    let postgres = folder.join("postgres");
    let output = user
        .command(&postgres)
        .arg("--version")
        .output()
        .map_err(|error| format!("{} cannot be run: {error}", postgres.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    match major_version(&said) {
        Some(major) if major >= OLDEST_MAJOR => Ok(Binaries { folder: folder.to_owned(), major }),
        Some(major) => Err(format!("{} is PostgreSQL {major}, which is too old", folder.display())),
        None => Err(format!("{} --version does not tell a version: {}", postgres.display(), said.trim())),
    }
}

/// The 17 of `postgres (PostgreSQL) 17.6 (Debian 17.6-1)` or `postgres (PostgreSQL) 17beta1`.
fn major_version(said: &str) -> Option<u32> {
    let version = said.split("(PostgreSQL)").nth(1)?.trim_start();
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn pg_config_bindir() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !folder.trim().is_empty()).then(|| PathBuf::from(folder.trim()))
}

/// `parent/PREFIX*/rest`, the highest version in the name first; a name without a number comes last.
fn newest_first(parent: &Path, prefix: &str, rest: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let tail = name.strip_prefix(prefix)?;
            let digits: String =
                tail.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
            Some((digits.parse().unwrap_or(0), entry.path().join(rest)))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A folder with an `initdb` and a `postgres` that claims to be `version`.
    fn pretend(parent: &Path, name: &str, version: &str) -> PathBuf {
        let folder = parent.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for program in ["initdb", "postgres"] {
            let path = folder.join(program);
            std::fs::write(&path, format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    fn search(places: &[&Path]) -> Found {
        let places = places.iter().map(|place| place.to_path_buf()).collect();
        Search { places, allow_download: false }.find(&ServerUser::Myself)
    }

    #[test]
    fn reads_the_major_version_of_every_kind_of_build() {
        assert_eq!(major_version("postgres (PostgreSQL) 17.6 (Debian 17.6-1.pgdg12+1)\n"), Some(17));
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_version("postgres (PostgreSQL) 9.6.24\n"), Some(9));
        assert_eq!(major_version("something else\n"), None);
    }

    #[test]
    fn keeps_the_order_of_places_and_skips_what_is_too_old_or_incomplete() {
        let home = tempfile::tempdir().unwrap();
        let old = pretend(home.path(), "old", "13.9");
        let first = pretend(home.path(), "first", "15.2");
        let second = pretend(home.path(), "second", "17.1");
        let incomplete = pretend(home.path(), "incomplete", "16.0");
        std::fs::remove_file(incomplete.join("initdb")).unwrap();

        let found = search(&[&old, &home.path().join("absent"), &incomplete, &first, &second]);

        let majors: Vec<_> = found.usable.iter().map(|binaries| binaries.major).collect();
        assert_eq!(majors, [15, 17]);
        assert_eq!(found.unusable.len(), 2, "{:?}", found.unusable);
        assert!(found.unusable[0].contains("too old"), "{:?}", found.unusable);
        assert!(found.unusable[1].contains("no initdb"), "{:?}", found.unusable);
    }

    #[test]
    fn follows_links_to_the_folder_that_has_both_programs() {
        let home = tempfile::tempdir().unwrap();
        let real = pretend(home.path(), "real", "16.3");
        let links = home.path().join("links");
        std::fs::create_dir(&links).unwrap();
        symlink(real.join("postgres"), links.join("postgres")).unwrap();

        let found = search(&[&links, &real]);

        let real = real.canonicalize().unwrap();
        assert_eq!(found.usable, [Binaries { folder: real, major: 16 }]);
    }

    #[test]
    fn of_several_versions_in_one_place_the_newest_comes_first() {
        let home = tempfile::tempdir().unwrap();
        for name in ["pgsql-9.6", "pgsql-16", "pgsql-14", "other-18"] {
            std::fs::create_dir(home.path().join(name)).unwrap();
        }
        let names: Vec<_> = newest_first(home.path(), "pgsql-", "bin")
            .iter()
            .map(|path| path.strip_prefix(home.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["pgsql-16/bin", "pgsql-14/bin", "pgsql-9.6/bin"]);
    }
}
