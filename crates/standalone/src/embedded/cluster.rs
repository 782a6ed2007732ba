//! The databases on disk: made once, and afterwards only opened by the major version that made them.
//!
//! A new cluster is made beside its place and moved there when it is whole, so that a run killed half-way leaves nothing that
//! looks finished.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::binaries::Binaries;
use super::error::{EmbeddedError, Tried};
use super::folder::Folder;

/// The superuser of an embedded server, and the database that Posthaste keeps its schema in.
pub const NAME: &str = "posthaste";

/// The major version that made the cluster; `None` where there is none yet.
///
/// # Errors
/// The folder is there but is not a cluster.
pub fn major(folder: &Folder) -> Result<Option<u32>, EmbeddedError> {
    let file = folder.cluster().join("PG_VERSION");
    match std::fs::read_to_string(&file) {
        Ok(text) => match text.trim().parse() {
            Ok(major) => Ok(Some(major)),
            Err(_) => Err(std::io::Error::other(format!("it says {:?}", text.trim())))
                .tried(|| format!("reading the version in {}", file.display())),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).tried(|| format!("reading {}", file.display())),
    }
}

/// Makes the cluster, unless it is there. Takes a second or two, less where it need not survive a crash of the machine
/// (`discard`).
///
/// # Errors
/// `initdb` fails, or the cluster there was made by another major version.
pub fn ensure(folder: &Folder, binaries: &Binaries, discard: bool) -> Result<(), EmbeddedError> {
    match major(folder)? {
        Some(cluster) if cluster == binaries.major => return Ok(()),
        Some(cluster) => {
            return Err(EmbeddedError::OtherVersion {
                folder: folder.root().to_owned(),
                cluster,
                found: binaries.major,
                binaries: binaries.folder.clone(),
            });
        }
        None => {}
    }
    tracing::info!(folder = %folder.root().display(), major = binaries.major, "making a new PostgreSQL cluster");
    let unfinished = folder.root().join("cluster.unfinished");
    match std::fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).tried(|| format!("removing {}", unfinished.display()));
        }
        _ => folder.make_private(&unfinished)?,
    }
    new_password(folder)?;
    run(folder
        .user()
        .command(binaries.folder.join("initdb"))
        .arg("-D")
        .arg(&unfinished)
        .arg("--username")
        .arg(NAME)
        .arg("--pwfile")
        .arg(folder.password_file())
        // The socket lies in a folder that only its user may enter; on TCP anybody on this machine could knock.
        .args(["--auth-local=trust", "--auth-host=scram-sha-256"])
        // The same everywhere, whatever locales the machine has. Posthaste sorts no text.
        .args(["--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"])
        .args(discard.then_some("--no-sync")))?;
    create_database(folder, binaries, &unfinished)?;
    let cluster = folder.cluster();
    std::fs::rename(&unfinished, &cluster).tried(|| format!("making {}", cluster.display()))
}

/// The password of the database user [`NAME`].
///
/// # Errors
/// The file cannot be read.
pub fn password(folder: &Folder) -> Result<String, EmbeddedError> {
    let path = folder.password_file();
    let text = std::fs::read_to_string(&path).tried(|| format!("reading {}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// 192 random bits in hexadecimal, in a file for the server's user alone.
fn new_password(folder: &Folder) -> Result<(), EmbeddedError> {
    let path = folder.password_file();
    let mut random = [0_u8; 24];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .tried(|| "reading /dev/urandom".to_owned())?;
    let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let write = || {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        writeln!(file, "{password}")?;
        folder.user().give(&path)
    };
    write().tried(|| format!("writing {}", path.display()))
}

/// Makes the database [`NAME`] with a server in single-user mode, which needs no port and no client.
fn create_database(folder: &Folder, binaries: &Binaries, cluster: &Path) -> Result<(), EmbeddedError> {
    let mut command = folder.user().command(binaries.folder.join("postgres"));
    command.args(["--single", "-D"]).arg(cluster).arg("postgres");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let what = || format!("running {}", binaries.folder.join("postgres").display());
    let mut child = command.spawn().tried(what)?;
    if let Some(mut input) = child.stdin.take() {
        // A server that ended early makes this fail; its own words below say more.
        let _ = writeln!(input, "CREATE DATABASE {NAME}");
    }
    let output = child.wait_with_output().tried(what)?;
    let said = String::from_utf8_lossy(&output.stderr);
    // In this mode an error of SQL does not change the exit status.
    if output.status.success() && !said.contains("ERROR:") {
        return Ok(());
    }
    Err(EmbeddedError::Program {
        program: "postgres --single".to_owned(),
        output: format!("{}: {said}", output.status),
    })
}

fn run(command: &mut Command) -> Result<(), EmbeddedError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().tried(|| format!("running {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(EmbeddedError::Program { program, output: format!("{}: {}", output.status, said.trim()) })
}
