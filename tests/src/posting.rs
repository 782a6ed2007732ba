//! Clients that post while something breaks.

use std::cell::Cell;
use std::time::Duration;

use awc::http::Method;
use futures_util::future::join_all;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::client::Api;

/// Requests under way at each API.
pub const CLIENTS: usize = 16;

/// What became of the posts.
pub struct Posted {
    /// The ids of those that were answered 200.
    pub accepted: Vec<i64>,
    /// How many had another answer, or none.
    pub refused: usize,
}

/// Posts messages to a queue through all APIs, with [`CLIENTS`] each, until it is `enough`; tells how many posts are under way.
///
/// # Panics
/// One is answered with an error other than 503.
pub async fn post_until(apis: &[Api], queue: &str, under_way: &Cell<usize>, enough: &CancellationToken) -> Posted {
    /// What a client waits before it tries again, so that a server that is down is not flooded.
    const PAUSE: Duration = Duration::from_millis(50);
    let refused = Cell::new(0);
    let client = async |api: &Api| {
        let mut accepted = Vec::new();
        while !enough.is_cancelled() {
            let message = json!({ "queueId": queue, "body": "a message" });
            under_way.set(under_way.get() + 1);
            let answer = api.try_send(Method::POST, "/messages", Some(&message)).await;
            under_way.set(under_way.get() - 1);
            match answer {
                Ok(answer) if answer.status == 200 => accepted.push(answer.created().parse::<i64>().unwrap()),
                other => {
                    if let Ok(answer) = other {
                        assert_eq!(answer.status, 503, "{}", answer.text);
                    }
                    refused.set(refused.get() + 1);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        accepted
    };
    let clients = apis.iter().flat_map(|api| std::iter::repeat_n(api, CLIENTS)).map(client);
    Posted { accepted: join_all(clients).await.concat(), refused: refused.get() }
}
