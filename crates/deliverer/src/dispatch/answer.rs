//! Reading an answer: its status decides, the rest is kept for the log, within bounds.
//!
//! The body is read to its end where that is near, because only then the connection can be used again. A body that is
//! longer than [`READ`] or slower than [`PATIENCE`] costs its connection, not the delivery.

use std::time::Duration;

use awc::ClientResponse;
use awc::error::PayloadError;
use awc::http::header::HeaderMap;
use futures_util::{Stream, StreamExt};

/// How much of a body the attempt log keeps.
const KEPT: usize = 1024;
/// How much of a body is read at most.
const READ: usize = 64 * 1024;
/// How long reading a body may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much of an answer's headers the attempt log keeps, counted in names and values.
const KEPT_HEADERS: usize = 4096;

/// What is kept of an answer.
pub(super) struct Answer {
    pub(super) status: u16,
    /// A JSON object as text.
    pub(super) headers: Option<String>,
    pub(super) body: Option<Vec<u8>>,
}

impl Answer {
    /// Reads what is to be kept. Never fails: the status is there, and the rest is only for people to read.
    pub(super) async fn read<S>(mut response: ClientResponse<S>) -> Answer
    where
        S: Stream<Item = Result<bytes::Bytes, PayloadError>> + Unpin,
    {
        let status = response.status().as_u16();
        let headers = headers(response.headers());
        let mut kept = Vec::new();
        let mut read = 0;
        let reading = async {
            while let Some(Ok(chunk)) = response.next().await {
                let room = KEPT - kept.len();
                kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
                read += chunk.len();
                if read > READ {
                    break;
                }
            }
        };
        // Too slow: what came so far is kept, and dropping the response closes its connection.
        let _ = tokio::time::timeout(PATIENCE, reading).await;
        Answer { status, headers, body: (!kept.is_empty()).then_some(kept) }
    }
}

fn headers(headers: &HeaderMap) -> Option<String> {
    let mut kept = serde_json::Map::new();
    let mut size = 0;
    for (name, value) in headers {
        size += name.as_str().len() + value.len();
        if size > KEPT_HEADERS {
            break;
        }
        let text = String::from_utf8_lossy(value.as_bytes()).replace('\0', "");
        let entry = kept.entry(name.as_str()).or_insert_with(|| serde_json::Value::String(String::new()));
        if let serde_json::Value::String(all) = entry {
            if !all.is_empty() {
                all.push_str(", ");
            }
            all.push_str(&text);
        }
    }
    (!kept.is_empty()).then(|| serde_json::Value::Object(kept).to_string())
}
