//! Reading an answer: its head decides, the rest is kept for the log, within bounds.
//!
//! The body is read to its end where that is near, because only then the connection can be used again. A body that is
//! longer than [`READ`] or slower than [`PATIENCE`] costs its connection, not the delivery. It is never decompressed.

use std::time::Duration;

use awc::ClientResponse;
use awc::error::PayloadError;
use awc::http::header::{HeaderMap, RETRY_AFTER};
use futures_util::{Stream, StreamExt};
use posthaste_core::retry_after;
use posthaste_core::time::Timestamp;
use posthaste_core::transition::Signals;

/// How much of a body is read at most.
const READ: usize = 64 * 1024;
/// How long reading a body may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How much of an answer's headers the attempt log keeps, counted in names and values.
const KEPT_HEADERS: usize = 4096;
/// By which a receiver ends a message.
const NO_RETRY: &str = "posthaste-no-retry";

/// What is kept of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) signals: Signals,
    /// A JSON object as text.
    pub(crate) headers: Option<String>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Answer {
    /// Reads what is to be kept, `keep` bytes of the body at most. Never fails: the head is there, and the rest is only for people
    /// to read.
    pub(super) async fn read<S>(mut response: ClientResponse<S>, now: Timestamp, keep: usize) -> Answer
    where
        S: Stream<Item = Result<bytes::Bytes, PayloadError>> + Unpin,
    {
        let signals = signals(response.status().as_u16(), response.headers(), now);
        let headers = headers(response.headers());
        let mut kept = Vec::new();
        let mut read = 0;
        let reading = async {
            while let Some(Ok(chunk)) = response.next().await {
                let room = keep - kept.len();
                kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
                read += chunk.len();
                if read > READ {
                    break;
                }
            }
        };
        // Too slow: what came so far is kept, and dropping the response closes its connection.
        let _ = tokio::time::timeout(PATIENCE, reading).await;
        Answer { signals, headers, body: (!kept.is_empty()).then_some(kept) }
    }
}

fn signals(status: u16, headers: &HeaderMap, now: Timestamp) -> Signals {
    let text = |value: &awc::http::header::HeaderValue| value.to_str().map(str::to_owned).ok();
    let retry_after = headers.get(RETRY_AFTER).and_then(text).and_then(|text| retry_after::parse(&text, now));
    let no_retry = headers.get(NO_RETRY).and_then(text).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"));
    Signals { status, retry_after, no_retry }
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
