//! The built binaries as processes.
//!
//! A process gets a clean environment, writes its output to files that are printed when its test fails, and is killed when
//! its [`Process`] is dropped or the test process ends.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Api;
use crate::database::Database;
use crate::ports::Port;
use crate::{guard, wait};

/// A service is ready well within this, also on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How much of its output a failing test shows.
const SHOWN_LINES: usize = 200;

/// The path of a built binary, such as `posthaste-api`. Builds all of them first, once per test process; with
/// `POSTHASTE_BIN_DIR` it takes them from there as they are.
///
/// # Panics
/// The build fails.
pub fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| match std::env::var_os("POSTHASTE_BIN_DIR") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => build(),
    });
    folder.join(name)
}

fn build() -> PathBuf {
    // target/PROFILE/deps/this-test
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.ancestors().nth(2).expect("the build folder").to_owned();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let mut command = Command::new(cargo);
    command.args(["build", "--workspace", "--bins"]).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    if folder.file_name().is_some_and(|profile| profile != "debug") {
        command.arg("--profile").arg(folder.file_name().unwrap_or_default());
    }
    let output = command.stdin(Stdio::null()).output().expect("cargo");
    assert!(output.status.success(), "cargo build: {}", String::from_utf8_lossy(&output.stderr));
    folder
}

/// What to start, and with what.
#[derive(Clone, Debug)]
pub struct Launch {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    port: Option<Arc<Port>>,
}

impl Launch {
    /// A binary with nothing but `PATH` and `HOME` in its environment.
    pub fn new(program: &str) -> Self {
        Self { program: program.to_owned(), arguments: Vec::new(), environment: Vec::new(), port: None }
    }

    /// `posthaste-api` on a database; queues may call receivers on this machine.
    pub fn api(database: &Database) -> Self {
        Self::new("posthaste-api").on(database).env("EGRESS_ALLOW", "127.0.0.0/8")
    }

    /// `posthaste-scheduler` on a database.
    pub fn scheduler(database: &Database) -> Self {
        Self::new("posthaste-scheduler").on(database)
    }

    /// `posthaste-deliverer` on a database; it may call receivers on this machine.
    pub fn deliverer(database: &Database) -> Self {
        Self::new("posthaste-deliverer").on(database).env("EGRESS_ALLOW", "127.0.0.0/8").env("WORKERS", "1")
    }

    /// `posthaste dev` on a database.
    pub fn all_in_one(database: &Database) -> Self {
        Self::new("posthaste").argument("dev").on(database)
    }

    /// On a database, with a port of its own.
    #[must_use]
    pub fn on(self, database: &Database) -> Self {
        self.env("DATABASE_URL", database.url()).with_port()
    }

    /// With `HOST` 127.0.0.1 and a `PORT` of its own.
    #[must_use]
    pub fn with_port(mut self) -> Self {
        let port = Port::lease();
        let number = port.number().to_string();
        self.port = Some(Arc::new(port));
        self.env("HOST", "127.0.0.1").env("PORT", &number)
    }

    /// With a variable set; the last one of a name counts.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With an argument.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// It ends, or is not ready within half a minute; shows its output.
    pub async fn start(self) -> Process {
        let mut process = self.spawn();
        process.wait_until_ready(READY_WITHIN).await;
        process
    }

    /// Starts it and does not wait.
    ///
    /// # Panics
    /// There is no such program.
    pub fn spawn(self) -> Process {
        let program = binary(&self.program);
        let output = Output::new();
        let mut command = Command::new(&program);
        command.env_clear().args(&self.arguments).current_dir("/").stdin(Stdio::null());
        command.stdout(output.file("stdout")).stderr(output.file("stderr"));
        for name in ["PATH", "HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        guard::watch(child.id());
        Process { launch: self, child, ended: None, output }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// It does not end within `deadline`; shows its output.
    pub async fn run(self, deadline: Duration) -> Ended {
        let mut process = self.spawn();
        let status = process.wait(deadline).await;
        Ended { status, stdout: process.stdout(), stderr: process.stderr() }
    }
}

/// How a process ended, and what it said.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// A process that was started.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    child: Child,
    ended: Option<ExitStatus>,
    output: Output,
}

impl Process {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens: the API, or the health of another service.
    ///
    /// # Panics
    /// It was given no port.
    pub fn address(&self) -> SocketAddr {
        self.launch.port.as_ref().expect("a process with a port").address()
    }

    /// A client for it.
    ///
    /// # Panics
    /// It was given no port.
    pub fn api(&self) -> Api {
        Api::at(self.address())
    }

    /// What it has written to standard output so far, over all its lives.
    pub fn stdout(&self) -> String {
        self.output.read("stdout")
    }

    /// What it has written to standard error so far, over all its lives.
    pub fn stderr(&self) -> String {
        self.output.read("stderr")
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Panics
    /// It ends, or does not within `deadline`; shows its output.
    pub async fn wait_until_ready(&mut self, deadline: Duration) {
        let api = self.api();
        let what = format!("{} is ready", self.launch.program);
        let started = Instant::now();
        wait::eventually(deadline, &what, async || {
            if let Some(status) = self.poll() {
                panic!(
                    "{} ended ({status}) after {:?} instead of becoming ready",
                    self.launch.program,
                    started.elapsed()
                );
            }
            let answer = api.try_send(awc::http::Method::GET, "/readyz", None).await;
            answer.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }

    /// Asks it to end: SIGTERM.
    pub fn sigterm(&mut self) {
        self.signal(Signal::TERM);
    }

    /// As Ctrl-C does: SIGINT.
    pub fn sigint(&mut self) {
        self.signal(Signal::INT);
    }

    /// Kills it, and returns once it is gone.
    pub async fn sigkill(&mut self) {
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(10)).await;
    }

    /// Freezes it.
    pub fn sigstop(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Thaws it.
    pub fn sigcont(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.poll().is_none()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It does not end within `deadline`.
    pub async fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("{} ends", self.launch.program);
        wait::until(deadline, &what, async || self.poll()).await
    }

    /// Starts the same again after its end, on the same port, and waits until it is ready.
    ///
    /// # Panics
    /// It still runs; or as [`Launch::start`].
    pub async fn start_again(&mut self) {
        assert!(!self.is_running(), "{} still runs", self.launch.program);
        let mut next = self.launch.clone().spawn();
        // What was said before stays to be shown.
        next.output.prepend(&self.output);
        *self = next;
        self.wait_until_ready(READY_WITHIN).await;
    }

    fn signal(&mut self, signal: Signal) {
        if self.poll().is_none() {
            // It has not been waited for, so the id is still its own.
            kill_process(Pid::from_child(&self.child), signal).expect("a signal to our own child");
        }
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none()
            && let Some(status) = self.child.try_wait().expect("our own child")
        {
            guard::release(self.child.id());
            self.ended = Some(status);
        }
        self.ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.poll().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            guard::release(self.child.id());
        }
        if std::thread::panicking() {
            for stream in ["stdout", "stderr"] {
                let text = self.output.read(stream);
                let lines: Vec<_> = text.lines().collect();
                let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
                if !shown.is_empty() {
                    eprintln!("---- {} ({}) {stream}:\n{}", self.launch.program, self.child.id(), shown.join("\n"));
                }
            }
        }
    }
}

/// The files that a process writes to: no pipe that fills up, and all of it is there after a SIGKILL.
#[derive(Debug)]
struct Output {
    folder: tempfile::TempDir,
    before: [(&'static str, String); 2],
}

impl Output {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("posthaste-test-output-").tempdir().expect("a temporary folder");
        Self { folder, before: [("stdout", String::new()), ("stderr", String::new())] }
    }

    fn file(&self, stream: &str) -> File {
        File::create(self.folder.path().join(stream)).expect("a file for output")
    }

    fn read(&self, stream: &str) -> String {
        let before = self.before.iter().find(|(name, _)| *name == stream).map_or("", |(_, text)| text);
        let now = std::fs::read(self.folder.path().join(stream)).unwrap_or_default();
        format!("{before}{}", String::from_utf8_lossy(&now))
    }

    fn prepend(&mut self, earlier: &Self) {
        for (stream, text) in &mut self.before {
            *text = earlier.read(stream);
        }
    }
}
