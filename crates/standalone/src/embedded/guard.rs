//! Stops the server when this process ends without having done so: killed by SIGKILL, or out of memory.
//!
//! The guard is a shell in a process group of its own that waits at the other end of a pipe. The kernel closes our end
//! however we die. What the guard misses (it may be killed too), [`super::leftover`] finds at the next start.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::error::{EmbeddedError, Tried};

/// `$1`: the server's process id; `$2`: its cluster; `$3`: a folder to remove afterwards, or nothing.
/// A line on the pipe is the dismissal. The id is only used while the cluster still belongs to it.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
if read -r _; then exit 0; fi
serves() { { read -r owner < "$2/postmaster.pid"; } 2>/dev/null && [ "$owner" = "$1" ]; }
if serves "$1" "$2"; then
    if [ -n "$3" ]; then kill -QUIT "$1"; else kill -INT "$1"; fi
fi
[ -n "$3" ] || exit 0
tries=0
while kill -0 "$1" 2>/dev/null && serves "$1" "$2" && [ "$tries" -lt 200 ]; do
    sleep 0.05
    tries=$((tries + 1))
done
rm -rf -- "$3"
"#;

/// A watch over one server process.
#[derive(Debug)]
pub struct Guard {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Watches over the server `pid` on `cluster`; removes the folder `discard` after it, if there is one.
    ///
    /// # Errors
    /// No shell could be run.
    pub fn set(pid: u32, cluster: &Path, discard: Option<&Path>) -> Result<Self, EmbeddedError> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "posthaste-guard"])
            .arg(pid.to_string())
            .arg(cluster)
            .arg(discard.unwrap_or(Path::new("")))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            // Nobody who reads our output may wait for the guard to end.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .tried(|| "running /bin/sh".to_owned())?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }
}

impl Drop for Guard {
    /// Dismisses the guard: the server has ended, or we see to it ourselves.
    fn drop(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = pipe.write_all(b"dismissed\n");
        }
        let _ = self.shell.wait();
    }
}
