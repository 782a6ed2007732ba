//! A real HTTP server for tests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};

/// Answers as it is told to, and records what it was asked.
pub struct Local {
    shared: Arc<Shared>,
    handle: ServerHandle,
    pub url: String,
}

#[derive(Default)]
struct Shared {
    answer: Mutex<(u16, String, Duration)>,
    asked: Mutex<Vec<(String, HeaderMap, Bytes)>>,
}

impl Local {
    pub fn start() -> Local {
        let shared = Arc::new(Shared::default());
        let state = Arc::clone(&shared);
        let factory = move || {
            let state = Arc::clone(&state);
            let answer = move |request: HttpRequest, body: Bytes| {
                let asked = (request.method().to_string(), request.headers().clone(), body);
                state.asked.lock().unwrap().push(asked);
                let (status, body, delay) = state.answer.lock().unwrap().clone();
                async move {
                    actix_web::rt::time::sleep(delay).await;
                    HttpResponse::build(StatusCode::from_u16(status).unwrap()).body(body)
                }
            };
            App::new().default_service(web::to(answer))
        };
        let server = HttpServer::new(factory).workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}/path?token=hunter2", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Local { shared, handle, url }
    }

    pub fn answer(&self, status: u16, body: &str) {
        *self.shared.answer.lock().unwrap() = (status, body.to_owned(), Duration::ZERO);
    }

    /// From now on no answer comes.
    pub fn hang(&self) {
        self.shared.answer.lock().unwrap().2 = Duration::from_secs(3600);
    }

    pub fn asked(&self) -> usize {
        self.shared.asked.lock().unwrap().len()
    }

    /// Method, headers and body of the last request.
    pub fn last(&self) -> (String, HeaderMap, Bytes) {
        self.shared.asked.lock().unwrap().last().unwrap().clone()
    }

    pub async fn stop(&self) {
        self.handle.stop(false).await;
    }
}
