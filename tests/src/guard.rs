//! Kills the processes of a test when the test process is gone without having done so.
//!
//! One shell per test process, in a process group of its own, reads from a pipe which processes there are. However the test
//! process ends, the kernel closes the pipe, and the shell kills what is left.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

const SCRIPT: &str = r#"
trap '' HUP INT TERM
pids=" "
while read -r verb pid; do
    case "$verb" in
        watch) pids="$pids$pid " ;;
        release) case "$pids" in *" $pid "*) pids="${pids%% $pid *} ${pids#* $pid }" ;; esac ;;
    esac
done
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
"#;

struct Guard {
    pipe: ChildStdin,
    _shell: Child,
}

fn tell(verb: &str, pid: u32) {
    static GUARD: OnceLock<Mutex<Guard>> = OnceLock::new();
    let guard = GUARD.get_or_init(|| {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "posthaste-test-guard"])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell to guard the processes of this test");
        Mutex::new(Guard { pipe: shell.stdin.take().expect("a pipe"), _shell: shell })
    });
    let mut guard = guard.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(guard.pipe, "{verb} {pid}").expect("the guard reads");
}

/// From now on `pid`, a child of this process, is killed when this process ends.
pub fn watch(pid: u32) {
    tell("watch", pid);
}

/// `pid` has ended; the id may become another's.
pub fn release(pid: u32) {
    tell("release", pid);
}
