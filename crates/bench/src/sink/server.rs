//! The sink's HTTP server: `POST /deliver/RUN` counts, `GET /count` and `GET /stats?expected=N` report, `POST /reset/RUN`
//! starts anew.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::Write;
use std::rc::Rc;

use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::ledger::Ledger;
use crate::body;

/// Serves on one thread, on `port` of the loopback interface (0: any free one), until standard input ends: so it does not
/// outlive the process that started it. Its first line on standard output is its address.
pub fn run(port: u16) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.context("the sink cannot listen")?;
        let mut out = std::io::stdout();
        writeln!(out, "{}", listener.local_addr()?)?;
        out.flush()?;
        tokio::select! {
            served = accept(listener) => served,
            ended = end_of_input() => ended,
        }
    })
}

async fn end_of_input() -> anyhow::Result<()> {
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 64];
    while input.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn accept(listener: TcpListener) -> anyhow::Result<()> {
    let ledger = Rc::new(RefCell::new(Ledger::new("")));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(serve(stream, Rc::clone(&ledger)));
    }
}

async fn serve(stream: TcpStream, ledger: Rc<RefCell<Ledger>>) {
    let service = service_fn(|request| answer(request, &ledger));
    // An error here is a client that went away, as deliverers do when they stop; what is lost shows in the count.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, ledger: &RefCell<Ledger>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, incoming) = request.into_parts();
    let Ok(received) = incoming.collect().await else {
        // The client went away in mid-body: no arrival, and nobody to answer.
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let path = head.uri.path();
    if let Some(run) = path.strip_prefix("/deliver/") {
        let mut ledger = ledger.borrow_mut();
        if ledger.is_of(run) {
            ledger.arrived(&received.to_bytes(), body::now())
        } else {
            ledger.stray()
        }
        return Ok(Response::new(Full::default()));
    }
    if let Some(run) = path.strip_prefix("/reset/") {
        *ledger.borrow_mut() = Ledger::new(run);
        return Ok(Response::new(Full::default()));
    }
    Ok(match path {
        "/count" => Response::new(ledger.borrow().distinct().to_string().into()),
        "/stats" => {
            let expected =
                head.uri.query().and_then(|query| query.strip_prefix("expected=")?.parse().ok()).unwrap_or(0);
            match serde_json::to_vec(&ledger.borrow().stats(expected)) {
                Ok(stats) => Response::new(stats.into()),
                Err(_) => status(StatusCode::INTERNAL_SERVER_ERROR),
            }
        }
        _ => {
            ledger.borrow_mut().stray();
            status(StatusCode::NOT_FOUND)
        }
    })
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
