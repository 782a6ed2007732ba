//! Ports that stay a test's own, also while nothing listens on them: a service may be killed and started on its port again.
//!
//! They lie below the range that the kernel gives to outgoing connections, and each is locked by a file, so that test processes
//! that run at the same time do not share one.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::fs::{FlockOperation, flock};

const FIRST: u16 = 10_000;
const COUNT: u16 = 9_000;

/// A port on 127.0.0.1, held until dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// A port that nobody else has.
    ///
    /// # Panics
    /// None is free.
    pub fn lease() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // One at a time: two threads would otherwise find each other's probe on a port.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let folder = folder();
        let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or_default();
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = FIRST + (start + step % COUNT) % COUNT;
            let lock = File::create(folder.join(number.to_string())).expect("a lock file for a port");
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
                && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
            {
                return Self { number, _lock: lock };
            }
        }
        panic!("no port is free");
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// 127.0.0.1 with this port.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

/// One per user, as another's files could not be locked.
fn folder() -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let folder = std::env::temp_dir().join(format!("posthaste-test-ports-{uid}"));
    std::fs::create_dir_all(&folder).expect("a folder for the locks of ports");
    folder
}
