//! Fetches a build of the server when the machine has none, through the `postgresql_embedded` crate.
//!
//! Only its download and unpacking is used: it would run `initdb` as root and keep its password in a temporary file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use postgresql_embedded::{PostgreSQL, Settings, VersionReq};
use tokio_util::sync::CancellationToken;

use super::binaries::{Binaries, inspect};
use super::user::ServerUser;

/// The major version that is fetched for an empty data folder.
const FETCHED_MAJOR: u32 = 17;

/// A build is some 15 MB.
const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(300);

const RELEASES: &str = "https://github.com/theseus-rs/postgresql-binaries";

/// Fetches the newest build of `major` (or of the version that suits an empty folder) into `home`, or finds it there.
///
/// Blocks; may be called from inside or outside a runtime.
///
/// # Errors
/// Why there is none, for a person to read.
pub fn fetch(home: &Path, major: Option<u32>, user: &ServerUser, stop: &CancellationToken) -> Result<Binaries, String> {
    let major = major.unwrap_or(FETCHED_MAJOR);
    let thread = {
        let (home, stop) = (home.to_owned(), stop.clone());
        // A thread of its own, because the caller may be a thread that already drives a runtime.
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
            runtime.block_on(async {
                tokio::select! {
                    unpacked = tokio::time::timeout(DOWNLOAD_DEADLINE, unpack(&home, major)) => {
                        unpacked.map_err(|_| format!("no answer within {} s", DOWNLOAD_DEADLINE.as_secs()))?
                    }
                    () = stop.cancelled() => Err("stopped".to_owned()),
                }
            })
        })
    };
    let installed = thread.join().map_err(|_| "the download ended unexpectedly".to_owned())??;
    // It is unpacked into a folder that only we may enter.
    user.give_tree(&installed).map_err(|error| format!("{}: {error}", installed.display()))?;
    inspect(&installed.join("bin"), user)
}

async fn unpack(home: &Path, major: u32) -> Result<PathBuf, String> {
    tracing::info!(major, "fetching a build of PostgreSQL");
    // `setup` runs initdb unless the data folder has a configuration; this one only looks as if it had.
    let decoy = home.join("not-a-cluster");
    let prepare = || {
        std::fs::create_dir_all(&decoy)?;
        std::fs::write(decoy.join("postgresql.conf"), "# There is no server here.\n")
    };
    prepare().map_err(|error| format!("{}: {error}", decoy.display()))?;
    let settings = Settings {
        releases_url: RELEASES.to_owned(),
        version: VersionReq::parse(&major.to_string()).map_err(|error| error.to_string())?,
        installation_dir: home.to_owned(),
        password_file: decoy.join("unused"),
        data_dir: decoy,
        host: String::new(),
        port: 0,
        username: String::new(),
        password: String::new(),
        temporary: false,
        timeout: None,
        configuration: Default::default(),
        trust_installation_dir: false,
        socket_dir: None,
    };
    let mut postgresql = PostgreSQL::new(settings);
    postgresql.setup().await.map_err(|error| with_causes(&error))?;
    // Dropping it would stop the server of its data folder, of which there is none.
    Ok(postgresql.settings().installation_dir.clone())
}

/// "The request failed" alone helps nobody.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_build_that_was_fetched_before_is_used_without_a_network() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("16.2.0/bin");
        std::fs::create_dir_all(&folder).unwrap();
        for program in ["initdb", "postgres"] {
            let path = folder.join(program);
            std::fs::write(&path, "#!/bin/sh\necho 'postgres (PostgreSQL) 16.2'\n").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let found = fetch(home.path(), Some(16), &ServerUser::Myself, &CancellationToken::new()).unwrap();
        assert_eq!(found, Binaries { folder, major: 16 });
    }

    #[test]
    fn a_failure_is_told_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("the request failed")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("no such host"));
        assert_eq!(with_causes(&error), "the request failed: no such host");
    }
}
