//! A real HTTP server that records what it is sent and answers as it is told.
//!
//! It runs on a thread of its own, so that a busy test does not slow it down. A request counts from when its body is complete;
//! its time is when its head arrived.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt;
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use crate::ports::Port;

/// A condition on everything received is looked at again no sooner than this, as it may be costly.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A header by which requests to one path are told apart.
pub const LANE: &str = "test-lane";

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// When its head arrived.
    pub at: Instant,
    /// The same by the wall clock.
    pub time: SystemTime,
    /// Such as `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case, in the order that they came.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Received {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The wait before the answer begins.
    pub delay: Duration,
    /// How it goes on.
    pub ending: Ending,
    /// Whether the receiver works for all of the delay though its client is gone, as a program may that has begun with something.
    pub works_on: bool,
}

/// How an answer goes on after its delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Completely.
    Whole,
    /// Never: no byte is sent, the connection stays open.
    Hang,
    /// The connection is closed without an answer.
    Close,
    /// Head and body are sent, but the body never ends.
    Endless,
}

impl Answer {
    /// An empty answer with this status.
    pub fn status(status: u16) -> Self {
        let ending = Ending::Whole;
        Self { status, headers: Vec::new(), body: Vec::new(), delay: Duration::ZERO, ending, works_on: false }
    }

    /// 200 after a while.
    pub fn after(delay: Duration) -> Self {
        Self { delay, ..Self::status(200) }
    }

    /// No answer at all; the connection stays open.
    pub fn hang() -> Self {
        Self { ending: Ending::Hang, ..Self::status(200) }
    }

    /// The connection is closed without an answer.
    pub fn close() -> Self {
        Self { ending: Ending::Close, ..Self::status(200) }
    }

    /// Works for all of its delay, whoever still listens.
    #[must_use]
    pub fn working_on(self) -> Self {
        Self { works_on: true, ..self }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// Decides on an answer from the count of earlier requests to the path and the request itself.
type Plan = Arc<dyn Fn(usize, &Received) -> Answer + Send + Sync>;

#[derive(Default)]
struct State {
    requests: Vec<Received>,
    plans: HashMap<String, Plan>,
    counts: HashMap<String, usize>,
    open: HashMap<String, usize>,
    most_open: HashMap<String, usize>,
}

struct Shared {
    state: Mutex<State>,
    count: watch::Sender<usize>,
    stop: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A receiver of callbacks. Stops listening, and drops its connections, when dropped.
pub struct Receiver {
    port: Port,
    shared: Arc<Shared>,
}

impl Receiver {
    /// Starts one on a port of its own. It answers 200 to everything that nothing else is planned for.
    ///
    /// # Panics
    /// It cannot listen.
    pub fn start() -> Self {
        let port = Port::lease();
        let shared = Arc::new(Shared { state: Mutex::default(), count: watch::Sender::new(0), stop: Notify::new() });
        let listener = std::net::TcpListener::bind(port.address()).expect("the receiver's port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let for_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("receiver".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(serve(listener, for_thread));
            })
            .expect("a thread");
        Self { port, shared }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The URL of a path, such as `/hook`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// From now on every request to `path` (without its query) is answered so.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.plan(path, move |_, _| answer.clone());
    }

    /// From now on `plan` decides, given how many requests to the path came before this one.
    pub fn plan(&self, path: &str, plan: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static) {
        self.shared.lock().plans.insert(path.to_owned(), Arc::new(plan));
    }

    /// All that has come, in order of completion.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.lock().requests.clone()
    }

    /// What has come to `path` (without its query).
    pub fn requests_to(&self, path: &str) -> Vec<Received> {
        let state = self.shared.lock();
        state.requests.iter().filter(|request| path_of(&request.path) == path).cloned().collect()
    }

    /// How many have come.
    pub fn count(&self) -> usize {
        *self.shared.count.borrow()
    }

    /// How many requests to `path` have been read and not answered yet.
    pub fn open(&self, path: &str) -> usize {
        self.shared.lock().open.get(path).copied().unwrap_or_default()
    }

    /// The most that were open at `path` at once, ever or since it was last forgotten. Of requests with a header [`LANE`], they are
    /// also counted at `path#lane`.
    pub fn most_open(&self, path: &str) -> usize {
        self.shared.lock().most_open.get(path).copied().unwrap_or_default()
    }

    /// From now on the most that are open at `path` are counted anew.
    pub fn forget_most_open(&self, path: &str) {
        let mut state = self.shared.lock();
        let now = state.open.get(path).copied().unwrap_or_default();
        state.most_open.insert(path.to_owned(), now);
    }

    /// How often each key came, for the requests that have one: what came more than once was delivered more than once.
    pub fn tally<K: std::hash::Hash + Eq>(&self, key: impl Fn(&Received) -> Option<K>) -> HashMap<K, usize> {
        let mut tally = HashMap::new();
        for key in self.shared.lock().requests.iter().filter_map(key) {
            *tally.entry(key).or_default() += 1;
        }
        tally
    }

    /// Waits until `condition` holds for all that has come, and returns it. Looks again whenever something has come.
    ///
    /// # Panics
    /// It does not within `deadline`; says `what` was waited for and the last requests.
    pub async fn wait_for(
        &self,
        deadline: Duration,
        what: &str,
        mut condition: impl FnMut(&[Received]) -> bool,
    ) -> Vec<Received> {
        let mut count = self.shared.count.subscribe();
        let waiting = async {
            loop {
                count.mark_unchanged();
                {
                    let state = self.shared.lock();
                    if condition(&state.requests) {
                        return state.requests.clone();
                    }
                }
                // The sender lives as long as we do.
                let _ = count.changed().await;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        match tokio::time::timeout(deadline, waiting).await {
            Ok(requests) => requests,
            Err(_) => {
                let requests = self.requests();
                let last = &requests[requests.len().saturating_sub(5)..];
                panic!("waited {deadline:?} in vain: {what}; {} requests came, the last: {last:#?}", requests.len());
            }
        }
    }

    /// Waits until at least `wanted` requests have come to `path`, and returns those.
    ///
    /// # Panics
    /// They do not within `deadline`.
    pub async fn wait_for_count(&self, deadline: Duration, path: &str, wanted: usize) -> Vec<Received> {
        let what = format!("{wanted} requests to {path}");
        self.wait_for(deadline, &what, |requests| {
            requests.iter().filter(|request| path_of(&request.path) == path).count() >= wanted
        })
        .await;
        self.requests_to(path)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stop.notify_one();
    }
}

fn path_of(path_and_query: &str) -> &str {
    path_and_query.split('?').next().unwrap_or_default()
}

async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    let accepting = async {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            tokio::spawn(talk(stream, Arc::clone(&shared)));
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shared.stop.notified() => {}
    }
}

async fn talk(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| respond(request, Arc::clone(&shared)));
    // A sender that goes away is nothing to fail for.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Counts a request as open until it is dropped, also when its connection is cut.
struct Open(Arc<Shared>, String);

impl Open {
    fn count(shared: &Arc<Shared>, state: &mut State, path: &str) -> Self {
        let open = state.open.entry(path.to_owned()).or_default();
        *open += 1;
        let now = *open;
        let most = state.most_open.entry(path.to_owned()).or_default();
        *most = now.max(*most);
        Self(Arc::clone(shared), path.to_owned())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(open) = self.0.lock().open.get_mut(&self.1) {
            *open = open.saturating_sub(1);
        }
    }
}

type Body = Either<Full<Bytes>, http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>>;

async fn respond(request: hyper::Request<Incoming>, shared: Arc<Shared>) -> Result<hyper::Response<Body>, String> {
    let (at, time) = (Instant::now(), SystemTime::now());
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes().to_vec();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let received = Received { at, time, method: head.method.to_string(), path, headers, body };
    let (answer, open) = record(&shared, received);

    let work = tokio::time::sleep(answer.delay);
    let _open = if answer.works_on {
        // A task of its own, which nobody cuts.
        let working = tokio::spawn(async move {
            work.await;
            drop(open);
        });
        working.await.map_err(|error| error.to_string())?;
        Vec::new()
    } else {
        work.await;
        open
    };
    let body = match answer.ending {
        Ending::Hang => std::future::pending().await,
        Ending::Close => return Err("the connection is closed as planned".to_owned()),
        Ending::Whole => Either::Left(Full::new(Bytes::from(answer.body))),
        Ending::Endless => {
            let beginning = Ok::<_, Infallible>(Frame::data(Bytes::from(answer.body)));
            let stream =
                futures_util::stream::once(std::future::ready(beginning)).chain(futures_util::stream::pending());
            Either::Right(BodyExt::boxed_unsync(StreamBody::new(stream)))
        }
    };
    let mut response = hyper::Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(body).map_err(|error| error.to_string())
}

fn record(shared: &Arc<Shared>, received: Received) -> (Answer, Vec<Open>) {
    let mut state = shared.lock();
    let path = path_of(&received.path).to_owned();
    let lane = received.header(LANE).map(|lane| format!("{path}#{lane}"));
    let open = lane.iter().chain([&path]).map(|path| Open::count(shared, &mut state, path)).collect();
    let count = state.counts.entry(path.clone()).or_default();
    let earlier = *count;
    *count += 1;
    let plan = state.plans.get(&path).cloned();
    let answer = plan.map_or_else(|| Answer::status(200), |plan| plan(earlier, &received));
    state.requests.push(received);
    shared.count.send_replace(state.requests.len());
    drop(state);
    (answer, open)
}
