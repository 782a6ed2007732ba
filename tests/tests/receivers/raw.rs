//! A receiver that is told byte by byte what to do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use posthaste_tests::ports::Port;

/// Listens on a port of its own and hands each connection to `talk`, on a thread of its own. Stops listening when dropped.
pub struct RawReceiver {
    port: Port,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    open: AtomicUsize,
    stopped: AtomicBool,
}

impl RawReceiver {
    pub fn start(talk: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let port = Port::lease();
        let listener = TcpListener::bind(port.address()).unwrap();
        let (talk, counts) = (Arc::new(talk), Arc::new(Counts::default()));
        let for_thread = Arc::clone(&counts);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if for_thread.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                for_thread.accepted.fetch_add(1, Ordering::Relaxed);
                for_thread.open.fetch_add(1, Ordering::Relaxed);
                let (talk, counts) = (Arc::clone(&talk), Arc::clone(&for_thread));
                std::thread::spawn(move || {
                    talk(stream);
                    counts.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { port, counts }
    }

    /// Answers each request of a connection with the same bytes, and keeps it open until the other side closes it.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |mut stream| {
            while read_request(&stream) {
                if stream.write_all(&answer).is_err() {
                    return;
                }
            }
        })
    }

    /// The same, but closes the connection after its first answer.
    pub fn answering_once(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |mut stream| {
            if read_request(&stream) && stream.write_all(&answer).is_ok() {
                let _ = stream.shutdown(Shutdown::Write);
                wait_for_close(&stream);
            }
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.port.address())
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// How many connections there have been.
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::Relaxed)
    }

    /// How many connections the other side has not closed.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::Relaxed)
    }
}

impl Drop for RawReceiver {
    fn drop(&mut self) {
        self.counts.stopped.store(true, Ordering::Relaxed);
        // It waits for a connection, and looks then.
        let _ = TcpStream::connect_timeout(&self.port.address(), Duration::from_secs(1));
    }
}

/// Reads a request with its body; false at the end of the connection.
pub fn read_request(stream: &TcpStream) -> bool {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return false,
            Ok(_) if line == "\r\n" => break,
            Ok(_) => {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).is_ok_and(|read| read == length)
}

/// Returns when the other side has closed the connection.
pub fn wait_for_close(stream: &TcpStream) {
    let mut stream = stream;
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
}
