//! What is large, or comes in great numbers, does not take more memory than an API may have; nor does who takes an answer slowly.

use futures_util::future::join_all;
use posthaste_tests::wait;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Connection, SOON, Setup, error};

/// Of a body. Sixteen are an answer, and four answers all that there is.
const LARGE: usize = 1_000_000;

impl Setup {
    /// A queue with twenty pending messages, each with a large body.
    async fn with_large_messages() -> (Setup, String) {
        let setup = Setup::new(&[]).await;
        let queue = json!({"name": "q", "callbackUrl": "https://shop.example/", "method": "POST"});
        let queue = setup.api.create_queue(&queue).await;
        let messages = vec![json!({"queueId": queue, "body": "x".repeat(LARGE)}); 20];
        assert_eq!(setup.api.post("/messages/batch", &json!(messages)).await.status, 200);
        (setup, queue)
    }

    async fn graphql(&self, query: &str) -> Value {
        self.api.post("/graphql", &json!({"query": query})).await.json
    }

    async fn count(&self) -> i64 {
        let answer = self.api.get("/messages?limit=1&totalCount=true&fields=id").await;
        super::header(&answer, "x-total-count").parse().unwrap()
    }
}

#[actix_rt::test]
async fn an_answer_is_bounded() {
    let (setup, queue) = Setup::with_large_messages().await;
    let whole = setup.api.get("/messages?limit=16").await;
    assert_eq!((whole.status, whole.json.as_array().unwrap().len()), (200, 16));
    let refused = setup.api.get("/messages?limit=17").await;
    assert_eq!(error(refused.status, &refused.json), (422, "PH_ANSWER_TOO_LARGE"));
    let of_queue = setup.api.get(&format!("/queues/{queue}/messages?limit=20")).await;
    assert_eq!(error(of_queue.status, &of_queue.json), (422, "PH_ANSWER_TOO_LARGE"));
    // What is not shown is not read.
    let without = setup.api.get("/messages?limit=20&fields=id,status").await;
    assert_eq!((without.status, without.json.as_array().unwrap().len()), (200, 20));
    assert_eq!(without.json[0], json!({"id": "1", "status": "pending"}));
    let one = setup.api.get("/messages/1?fields=body").await;
    assert_eq!(one.json["body"].as_str().unwrap().len(), LARGE);
}

#[actix_rt::test]
async fn an_operation_is_bounded_as_a_whole() {
    let (setup, _) = Setup::with_large_messages().await;
    let both = "{ a: messages(limit: 10) { id body } b: messages(limit: 10, offset: 10) { id body } }";
    let answer = setup.graphql(both).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "PH_ANSWER_TOO_LARGE", "{}", answer["errors"]);
    assert_ne!(answer["data"]["a"].is_null(), answer["data"]["b"].is_null(), "one of them is answered");
    let children = setup.graphql("{ queues { messages(limit: 17) { body } } }").await;
    assert_eq!(children["errors"][0]["extensions"]["code"], "PH_ANSWER_TOO_LARGE");
    let without = setup.graphql("{ queues { messages(limit: 20) { id } } }").await;
    assert_eq!(without["data"]["queues"][0]["messages"].as_array().unwrap().len(), 20);
}

#[actix_rt::test]
async fn a_change_whose_answer_is_too_large_is_not_made() {
    let (setup, queue) = Setup::with_large_messages().await;
    let path = format!("/messages?where.queueId.eq={queue}&fields=id");
    let refused = setup.api.put(&path, &json!({"queueId": queue, "priority": 5})).await;
    assert_eq!(error(refused.status, &refused.json), (422, "PH_ANSWER_TOO_LARGE"));
    let prioritized = setup.api.get("/messages?where.priority.eq=5&fields=id").await;
    assert_eq!(prioritized.json, json!([]));
    let deleted = setup.graphql("mutation { deleteMessages(where: { priority: { eq: 0 } }) { id } }").await;
    assert_eq!(deleted["errors"][0]["extensions"]["code"], "PH_ANSWER_TOO_LARGE", "{deleted}");
    assert_eq!(setup.count().await, 20);
}

#[actix_rt::test]
async fn uploads_are_bounded_together() {
    const UPLOADS: usize = 100;
    let setup = Setup::new(&[]).await;
    let queue = json!({"name": "q", "callbackUrl": "https://shop.example/", "method": "POST"});
    let queue = setup.api.create_queue(&queue).await;
    let body = json!({"queueId": queue, "body": "x".repeat(LARGE)}).to_string();
    let head = format!(
        "POST /messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    // All but the last byte, of each: none is complete, and there is no memory for all of them.
    let (begin, last) = body.split_at(body.len() - 1);
    let (answers, mut refused) = tokio::sync::mpsc::unbounded_channel();
    let complete = tokio_util::sync::CancellationToken::new();
    let upload = async || {
        let (mut read, mut write) = setup.connect().await.0.into_split();
        let writing = async {
            // Who is refused while it sends may find the connection closed.
            let _ = write.write_all(head.as_bytes()).await;
            let _ = write.write_all(begin.as_bytes()).await;
            complete.cancelled().await;
            let _ = write.write_all(last.as_bytes()).await;
        };
        let reading = async {
            let mut answer = Vec::new();
            let _ = read.read_to_end(&mut answer).await;
            let status = answer.get(9..12).map(|status| String::from_utf8_lossy(status).into_owned());
            let _ = answers.send(status.clone());
            status
        };
        tokio::join!(writing, reading).1
    };
    let fit = usize::try_from(64 << 20).unwrap() / body.len();
    let watching = async {
        for _ in 0..UPLOADS - fit {
            refused.recv().await;
        }
        complete.cancel();
    };
    let uploads = join_all((0..UPLOADS).map(|_| upload()));
    let (statuses, ()) = tokio::time::timeout(4 * SOON, async { tokio::join!(uploads, watching) }).await.unwrap();
    let stored = statuses.iter().filter(|status| status.as_deref() == Some("200")).count();
    // A connection that is reset takes the answer with it.
    let refused = statuses.iter().filter(|status| status.as_deref() == Some("503") || status.is_none()).count();
    assert_eq!(stored + refused, UPLOADS, "{statuses:?}");
    assert!(refused >= UPLOADS - fit && stored > 0, "{stored} of {UPLOADS} are stored, and {fit} fit");
    assert_eq!(setup.count().await, i64::try_from(stored).unwrap());
    setup.api.create_message(&json!({"queueId": queue, "body": "x".repeat(LARGE)})).await;
}

#[actix_rt::test]
async fn who_takes_an_answer_slowly_holds_its_memory() {
    const LIST: &str = "/messages?limit=16";
    let (setup, _) = Setup::with_large_messages().await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        let Connection(mut stream) = setup.connect().await;
        stream.write_all(format!("GET {LIST} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).await.unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200");
        slow.push(stream);
    }
    let refused = setup.api.get(LIST).await;
    assert_eq!(error(refused.status, &refused.json), (503, "PH_OVERLOADED"));
    assert_eq!(super::header(&refused, "retry-after"), "1");
    // What is small is answered all the same.
    assert_eq!(setup.api.get("/messages?limit=1").await.status, 200);
    drop(slow);
    wait::eventually(SOON, "memory is given back", async || setup.api.get(LIST).await.status == 200).await;
}
