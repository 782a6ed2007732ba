//! Many single posts at once: they are stored together, and a bad one fails alone.

use futures_util::future::join_all;
use posthaste_tests::receiver::Receiver;
use posthaste_tests::wait;
use serde_json::json;

use super::{SOON, Setup, assert_error, calling};

#[actix_rt::test]
async fn a_message_to_an_unknown_queue_fails_alone_among_hundreds() {
    const POSTS: usize = 500;
    let is_bad = |n: usize| n % 10 == 3;
    let setup = Setup::all().await;
    let (api, receiver) = (&setup.api, Receiver::start());
    api.create_queue(&calling(&receiver, "/q")).await;

    let posts = (0..POSTS).map(async |n| {
        let queue = if is_bad(n) { 1_000_000 + n } else { 1 };
        api.post("/messages/", &json!({"queueId": queue, "body": {"n": n}})).await
    });
    let mut ids = Vec::new();
    for (n, answer) in join_all(posts).await.into_iter().enumerate() {
        if is_bad(n) {
            let message = format!("body/queueId: there is no queue with id {}", 1_000_000 + n);
            assert_error(&answer, 404, "PH_UNKNOWN_QUEUE", "Not Found", &message);
        } else {
            assert_eq!(answer.json["body"], format!(r#"{{"n":{n}}}"#), "each answer is its own message's");
            ids.push((answer.created(), n));
        }
    }
    let good = POSTS - POSTS / 10;
    assert_eq!(ids.len(), good);

    receiver.wait_for_count(SOON, "/q", good).await;
    wait::eventually(SOON, "nothing is pending", async || setup.rows("pending").await == 0).await;
    let came = receiver.tally(|request| {
        let id = request.header("webhook-id")?.strip_prefix("msg_")?.to_owned();
        Some((id, usize::try_from(request.json()["n"].as_u64()?).ok()?))
    });
    assert_eq!(came.len(), good);
    for message in ids {
        assert_eq!(came.get(&message), Some(&1), "{message:?}");
    }
    assert_eq!((setup.rows("messages").await, setup.rows("attempts").await), (450, 450));
}
