//! Clients that send or read slowly, or not at all, are cut, and nobody else notices them.

use std::time::{Duration, Instant};

use futures_util::future::{join_all, select};
use posthaste_tests::process::Process;
use posthaste_tests::wait;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::interval;

use super::{Connection, SOON, Setup, error};

const HEAD: &str = "POST /messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
const GET: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

impl Connection {
    /// Sends one byte after the other with pauses until the server closes; returns what came, and after how long.
    async fn drip(self, bytes: &[u8]) -> (String, Duration) {
        let (mut read, mut write) = self.0.into_split();
        let began = Instant::now();
        let mut answer = Vec::new();
        let dripping = async {
            let mut pause = interval(Duration::from_millis(200));
            for byte in bytes.iter().cycle() {
                pause.tick().await;
                if write.write_all(&[*byte]).await.is_err() {
                    return;
                }
            }
        };
        let reading = async {
            let _ = read.read_to_end(&mut answer).await;
        };
        select(Box::pin(dripping), Box::pin(reading)).await;
        (String::from_utf8_lossy(&answer).into_owned(), began.elapsed())
    }
}

fn json_of(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?} is no answer"));
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

#[actix_rt::test]
async fn a_head_that_drips() {
    let setup = Setup::new(&[]).await;
    let mut connection = setup.connect().await;
    connection.send(b"GET /healthz HTTP/1.1\r\nx: ").await;
    let (answer, after) = connection.drip(b"y").await;
    assert_eq!(error(408, &json_of(&answer)), (408, "PH_REQUEST_TIMEOUT"));
    assert!(after < SOON, "{after:?}");
}

#[actix_rt::test]
async fn a_later_head_that_drips_or_stalls() {
    let setup = Setup::new(&[("KEEP_ALIVE_SECONDS", "1")]).await;
    let drips = async {
        let mut connection = setup.connect().await;
        connection.send(GET.as_bytes()).await;
        assert_eq!(connection.answer().await.0, 200);
        connection.send(b"GET /healthz HTTP/1.1\r\nx: ").await;
        connection.drip(b"y").await.1
    };
    // It comes with the first request in one piece, so that the server is told of nothing afterwards.
    let stalls = async {
        let mut connection = setup.connect().await;
        connection.send(format!("{GET}GET /healthz HTTP/1.1\r\nx: ").as_bytes()).await;
        assert_eq!(connection.answer().await.0, 200);
        let began = Instant::now();
        connection.end().await;
        began.elapsed()
    };
    let (drips, stalls) = futures_util::join!(drips, stalls);
    assert!(drips < SOON && stalls < SOON, "{drips:?}, {stalls:?}");
}

#[actix_rt::test]
async fn idle_connections() {
    let setup = Setup::new(&[("KEEP_ALIVE_SECONDS", "1")]).await;
    let (mut silent, mut idle) = (setup.connect().await, setup.connect().await);
    idle.send(GET.as_bytes()).await;
    assert_eq!(idle.answer().await.0, 200);
    let began = Instant::now();
    idle.end().await;
    let after = began.elapsed();
    assert!(after >= Duration::from_millis(900) && after < SOON, "{after:?}");
    silent.end().await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[actix_rt::test]
async fn a_body_that_drips() {
    let setup = Setup::new(&[("KEEP_ALIVE_SECONDS", "1")]).await;
    let read = async {
        let mut connection = setup.connect().await;
        connection.send(format!("{HEAD}content-length: 100000\r\n\r\n").as_bytes()).await;
        let (answer, after) = connection.drip(b" ").await;
        assert_eq!(error(408, &json_of(&answer)), (408, "PH_REQUEST_TIMEOUT"));
        after
    };
    // A chunk after the other of a body that no route reads.
    let unread = async {
        let mut connection = setup.connect().await;
        connection.send(b"POST /nope HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
        connection.drip(b"1\r\nx\r\n").await.1
    };
    let (read, unread) = futures_util::join!(read, unread);
    assert!(read >= Duration::from_secs(29) && read < Duration::from_secs(45), "{read:?}");
    assert!(unread < SOON, "{unread:?}");
}

#[actix_rt::test]
async fn an_answer_that_is_not_read() {
    let setup = Setup::new(&[("KEEP_ALIVE_SECONDS", "1")]).await;
    let queue = json!({"name": "q", "callbackUrl": "http://127.0.0.1:9/", "method": "POST"});
    setup.api.create_queue(&queue).await;
    // More than the kernel holds for a connection.
    let fill = "SELECT posthaste.enqueue('q', repeat('x', 900000), at => now() + interval '1 day') \
                FROM generate_series(1, 60)";
    setup.database.execute(fill).await;
    let before = sockets(&setup.process);
    let mut unread = Vec::new();
    for more in ["", "connection: close\r\n"] {
        let mut connection = setup.connect().await;
        connection.send(format!("GET /messages?limit=60 HTTP/1.1\r\nhost: x\r\n{more}\r\n").as_bytes()).await;
        unread.push(connection);
    }
    wait::eventually(SOON, "both are connected", async || sockets(&setup.process) >= before + 2).await;
    wait::eventually(Duration::from_secs(60), "both are cut", async || sockets(&setup.process) <= before).await;
}

#[actix_rt::test]
async fn five_hundred_idle_connections_stop_nobody() {
    let setup = Setup::new(&[("KEEP_ALIVE_SECONDS", "1")]).await;
    let idle = join_all((0..500).map(|n| {
        let connecting = setup.connect();
        async move {
            let mut connection = connecting.await;
            match n % 3 {
                0 => {}
                1 => connection.send(b"GET /healthz HTTP/1.1\r\nx: ").await,
                _ => connection.send(format!("{HEAD}content-length: 10\r\n\r\n{{").as_bytes()).await,
            }
            connection
        }
    }))
    .await;
    let many = Instant::now();
    let queue = json!({"name": "q", "callbackUrl": "http://127.0.0.1:9/", "method": "POST"});
    let queue = setup.api.create_queue(&queue).await;
    for _ in 0..100 {
        setup.api.create_message(&json!({"queueId": queue, "when": "2199-01-01T00:00:00Z"})).await;
    }
    assert!(many.elapsed() < Duration::from_secs(4), "others waited: {:?}", many.elapsed());
    assert!(sockets(&setup.process) > 500, "they were there meanwhile");
    wait::eventually(Duration::from_secs(60), "they are cut", async || sockets(&setup.process) < 100).await;
    drop(idle);
}

/// The sockets that a process has open.
fn sockets(process: &Process) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", process.pid())).expect("the files of our own child");
    let target = |file: std::io::Result<std::fs::DirEntry>| std::fs::read_link(file.ok()?.path()).ok();
    files.filter_map(target).filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}
