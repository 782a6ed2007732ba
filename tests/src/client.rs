//! A JSON client for the API: keep-alive, cheap to clone, usable from many tasks of one thread.

use std::net::SocketAddr;
use std::time::Duration;

use awc::http::Method;
use awc::http::header::HeaderMap;
use serde_json::Value;

/// Answers come within this, or the test fails.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The header that carries `ADMIN_SECRET`.
pub const SECRET_HEADER: &str = "X-PLATFORMATIC-ADMIN-SECRET";

/// The API at one address.
#[derive(Clone)]
pub struct Api {
    base: String,
    client: awc::Client,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub text: String,
    /// The body as JSON; null where it is none.
    pub json: Value,
}

impl Api {
    /// The API at `address`, without credentials.
    pub fn at(address: SocketAddr) -> Self {
        Self::with_headers(address, &[])
    }

    /// The API at `address`, with the admin secret.
    pub fn with_secret(address: SocketAddr, secret: &str) -> Self {
        Self::with_headers(address, &[(SECRET_HEADER, secret)])
    }

    /// The API at `address`, with these headers on every request.
    pub fn with_headers(address: SocketAddr, headers: &[(&str, &str)]) -> Self {
        Self { base: format!("http://{address}"), client: client(headers) }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// POST of a JSON value.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// PUT of a JSON value.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// POST of anything.
    ///
    /// # Panics
    /// No answer comes.
    pub async fn post_raw(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.client.post(format!("{}{path}", self.base)).content_type(content_type);
        let response = request.send_body(body.into()).await.unwrap_or_else(|error| panic!("POST {path}: {error}"));
        read(response).await
    }

    /// POST of a JSON value with further headers.
    ///
    /// # Panics
    /// No answer comes.
    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.try_post_with(path, headers, body).await.unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// As [`Api::post_with`]; an error where no answer comes.
    ///
    /// # Errors
    /// The connection or the exchange failed.
    pub async fn try_post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Answer, String> {
        let request = self.client.post(format!("{}{path}", self.base));
        let request = headers.iter().fold(request, |request, header| request.append_header(*header));
        try_read(request.send_json(body).await.map_err(|error| error.to_string())?).await
    }

    /// POST of anything, in chunks and without saying how many.
    ///
    /// # Panics
    /// No answer comes.
    pub async fn post_chunks(&self, path: &str, content_type: &str, chunks: Vec<Vec<u8>>) -> Answer {
        let request = self.client.post(format!("{}{path}", self.base)).content_type(content_type);
        let chunks = chunks.into_iter().map(|chunk| Ok::<_, std::convert::Infallible>(chunk.into()));
        let response = request.send_stream(futures_util::stream::iter(chunks)).await;
        read(response.unwrap_or_else(|error| panic!("POST {path}: {error}"))).await
    }

    /// A request without a body, with headers.
    ///
    /// # Panics
    /// No answer comes.
    pub async fn send_with(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = headers.iter().fold(request, |request, &header| request.insert_header(header));
        read(request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"))).await
    }

    /// One request; an error where no answer comes, as from a service that was killed.
    ///
    /// # Errors
    /// The connection or the exchange failed.
    pub async fn try_send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let response = match body {
            Some(body) => request.send_json(body).await,
            None => request.send().await,
        };
        try_read(response.map_err(|error| error.to_string())?).await
    }

    /// One request.
    ///
    /// # Panics
    /// No answer comes.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let sent = self.try_send(method.clone(), path, body).await;
        sent.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Creates a queue and returns its id.
    ///
    /// # Panics
    /// The API refuses it.
    pub async fn create_queue(&self, queue: &Value) -> String {
        self.post("/queues/", queue).await.created()
    }

    /// Posts a message and returns its id.
    ///
    /// # Panics
    /// The API refuses it.
    pub async fn create_message(&self, message: &Value) -> String {
        self.post("/messages/", message).await.created()
    }

    /// Creates a cron and returns its id.
    ///
    /// # Panics
    /// The API refuses it.
    pub async fn create_cron(&self, cron: &Value) -> String {
        self.post("/crons/", cron).await.created()
    }
}

impl Answer {
    /// The id of what was created.
    ///
    /// # Panics
    /// Nothing was.
    pub fn created(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text);
        match &self.json["id"] {
            Value::String(id) => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => panic!("no id in {}", self.text),
        }
    }
}

fn client(headers: &[(&str, &str)]) -> awc::Client {
    let builder = awc::Client::builder().connector(awc::Connector::new().limit(1024)).timeout(TIMEOUT);
    headers.iter().fold(builder, |builder, header| builder.add_default_header(*header)).finish()
}

async fn read<S>(response: awc::ClientResponse<S>) -> Answer
where
    S: futures_util::Stream<Item = Result<actix_web::web::Bytes, awc::error::PayloadError>>,
{
    try_read(response).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn try_read<S>(mut response: awc::ClientResponse<S>) -> Result<Answer, String>
where
    S: futures_util::Stream<Item = Result<actix_web::web::Bytes, awc::error::PayloadError>>,
{
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.body().limit(64 << 20).await.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&body).into_owned();
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer { status, headers, text, json })
}
