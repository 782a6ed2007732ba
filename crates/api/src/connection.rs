//! The connections of clients, and when one is cut.
//!
//! Promise: a client that sends or reads nothing, or a byte now and then, holds its connection for a bounded time only.
//! The HTTP server bounds the first head of a connection and the idle time between requests; the rest is here:
//!
//! - After an answer the next head must be there within the keep-alive time and [`HEAD`], however it drips in.
//! - A body, also one that nobody reads, must come at [`SLOWEST`] or faster, beyond a start of [`BODY`].
//! - An answer must be read: at [`SLOWEST`] or faster once it is complete, and never with a pause of [`STALL`].
//!
//! A connection over which a request is answered, such as a subscription that waits for news, is left alone.

mod body;
mod own;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

pub use self::body::is_late;
use self::body::{InTime, Tracked};

/// How long a request's head may take from its first byte.
pub const HEAD: Duration = Duration::from_secs(5);
/// How long a client may take to close its side after the server has closed its own.
pub const GOODBYE: Duration = Duration::from_secs(3);
/// How long a body may take, however small it is.
const BODY: Duration = Duration::from_secs(30);
/// How long an answer may find no room.
const STALL: Duration = Duration::from_secs(30);
/// Bytes per second.
const SLOWEST: u64 = 16 * 1024;

/// The time that so many bytes may take.
fn at_slowest(bytes: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000) / SLOWEST)
}

/// What happens on one connection; shared by the connection and the requests on it.
#[derive(Debug)]
pub struct Activity {
    /// Requests whose answer is not complete.
    under_way: Cell<u32>,
    /// When the last answer was complete, or the connection began.
    since: Cell<Instant>,
    /// Bytes written since then: the rest of that answer.
    written: Cell<u64>,
}

impl Activity {
    fn new() -> Rc<Activity> {
        Rc::new(Activity { under_way: Cell::new(0), since: Cell::new(Instant::now()), written: Cell::new(0) })
    }

    fn is_waiting(&self) -> bool {
        self.under_way.get() == 0
    }

    fn deadline(&self, keep_alive: Duration) -> Option<Instant> {
        let allowed = keep_alive + HEAD + at_slowest(self.written.get());
        self.is_waiting().then(|| self.since.get() + allowed)
    }
}

/// A request whose answer is not complete.
#[derive(Debug)]
struct UnderWay(Rc<Activity>);

impl UnderWay {
    fn new(activity: &Rc<Activity>) -> UnderWay {
        activity.under_way.set(activity.under_way.get() + 1);
        UnderWay(activity.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get().saturating_sub(1));
        self.0.since.set(Instant::now());
        self.0.written.set(0);
    }
}

/// Keeps the account of requests on their connections, and bounds the time of their bodies.
///
/// # Errors
/// Those of the service behind it.
pub async fn watch<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Tracked<B>>, Error> {
    let under_way = request.conn_data::<Rc<Activity>>().map(UnderWay::new);
    // After an upgrade to WebSocket, which only GET can ask for, the body is the connection itself.
    if request.method() != Method::GET || !request.head().upgrade() {
        let payload = request.take_payload();
        request.set_payload(InTime::bound(payload));
    }
    let response = next.call(request).await?;
    Ok(response.map_body(|_, body| Tracked::new(body, under_way)))
}

/// A TCP connection that is cut when its client is too slow.
#[derive(Debug)]
pub struct Guarded {
    /// `None` only while it is dropped.
    io: Option<TcpStream>,
    activity: Rc<Activity>,
    keep_alive: Duration,
    /// Since when an answer finds no room.
    blocked: Option<Instant>,
    /// Fires at the deadline or before; a deadline that moves away does not move it.
    timer: Option<Pin<Box<Sleep>>>,
    /// The server has answered by itself and goes, perhaps while the client still sends.
    leaving: bool,
}

impl Guarded {
    /// Guards a connection that has just begun.
    #[must_use]
    pub fn new(io: TcpStream, keep_alive: Duration) -> Guarded {
        Guarded { io: Some(io), activity: Activity::new(), keep_alive, blocked: None, timer: None, leaving: false }
    }

    /// What the requests on it are given.
    #[must_use]
    pub fn activity(&self) -> Rc<Activity> {
        self.activity.clone()
    }

    fn io(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.io.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn deadline(&self) -> Option<Instant> {
        let waiting = self.activity.deadline(self.keep_alive);
        let blocked = self.blocked.map(|since| since + STALL);
        waiting.into_iter().chain(blocked).min()
    }

    /// An error once the deadline has passed; until then the task is woken for it.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(deadline) = self.deadline() else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            timer.as_mut().reset(deadline);
        }
    }

    /// What another poll gave, or else the error of the deadline.
    fn unless_late<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match poll {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.poll_deadline(cx).map(Err),
        }
    }

    /// Writes what the server says by itself. It closes right after that without waiting for room, so neither is here.
    fn write_last(&mut self, cx: &mut Context<'_>, answer: &[u8]) {
        self.leaving = true;
        let mut rest = answer;
        while let Ok(io) = self.io()
            && let Poll::Ready(Ok(written @ 1..)) = io.poll_write(cx, rest)
        {
            rest = rest.get(written..).unwrap_or_default();
            if rest.is_empty() {
                return;
            }
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let poll = self.io()?.poll_read(cx, buf);
        self.unless_late(cx, poll)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.activity.is_waiting()
            && let Some(answer) = own::with_json(buf)
        {
            self.write_last(cx, &answer);
            return Poll::Ready(Ok(buf.len()));
        }
        let poll = self.io()?.poll_write(cx, buf);
        match &poll {
            Poll::Ready(Ok(written)) => {
                self.blocked = None;
                let written = u64::try_from(*written).unwrap_or(u64::MAX);
                self.activity.written.set(self.activity.written.get().saturating_add(written));
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                self.blocked.get_or_insert_with(Instant::now);
            }
        }
        self.unless_late(cx, poll)
    }

    /// Called after every step of the server, so that the deadline of a connection that has come to rest is known.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_deadline(cx) {
            return Poll::Ready(Err(error));
        }
        self.io()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = self.io()?.poll_shutdown(cx);
        self.unless_late(cx, poll)
    }
}

impl Drop for Guarded {
    /// Were it closed while bytes of the client are unread, the client would get a reset and perhaps no answer.
    fn drop(&mut self) {
        if self.leaving
            && let Some(io) = self.io.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(timeout(GOODBYE, leave(io)));
        }
    }
}

async fn leave(mut io: TcpStream) -> io::Result<()> {
    io.shutdown().await?;
    let mut unread = vec![0; 16 * 1024];
    while io.read(&mut unread).await? > 0 {}
    Ok(())
}
