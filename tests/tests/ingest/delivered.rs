//! What came in goes out: byte for byte, and not too early.

use std::time::{Duration, SystemTime};

use posthaste_tests::client::Api;
use posthaste_tests::database::Database;
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::receiver::Receiver;
use serde_json::{Value, json};

use super::SOON;

/// All services, and a queue with id 1 that calls `receiver`.
async fn all(receiver: &Receiver) -> (Api, Process, Database) {
    let database = Database::new().await;
    let process = Launch::all_in_one(&database).start().await;
    let api = process.api();
    api.create_queue(&json!({"name": "q", "callbackUrl": receiver.url("/q"), "method": "POST"})).await;
    (api, process, database)
}

/// The bytes 0 to 255, from the one at `first` on, in base64.
fn every_byte(first: u8) -> (Vec<u8>, String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = (0..=255).map(|byte: u8| byte.wrapping_add(first)).collect();
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut number = three.iter().fold(0_usize, |number, &byte| number << 8 | usize::from(byte));
        number <<= 8 * (3 - three.len());
        for place in 0..4 {
            let digit = char::from(ALPHABET[number >> (18 - 6 * place) & 63]);
            text.push(if place > three.len() { '=' } else { digit });
        }
    }
    (bytes, text)
}

#[actix_rt::test]
async fn binary_bodies_arrive_byte_for_byte() {
    let receiver = Receiver::start();
    let (api, _process, _database) = all(&receiver).await;
    let mut expected = Vec::new();
    let mut batch = Vec::new();
    for first in 0..10 {
        let (bytes, base64) = every_byte(first * 25);
        let message = json!({"queueId": 1, "bodyBase64": base64});
        if first % 2 == 0 {
            let created = api.post("/messages/", &message).await;
            assert_eq!((created.status, &created.json["bodyBase64"]), (200, &json!(base64)), "{}", created.text);
        } else {
            batch.push(message);
        }
        expected.push(bytes);
    }
    let answer = api.post("/messages/batch", &json!(batch)).await;
    assert_eq!(answer.json["accepted"], 5, "{}", answer.text);
    let came = receiver.wait_for_count(SOON, "/q", expected.len()).await;
    let mut came: Vec<_> = came.into_iter().map(|request| request.body).collect();
    came.sort();
    expected.sort();
    assert_eq!(came, expected);
}

#[actix_rt::test]
async fn a_delay_is_kept() {
    let receiver = Receiver::start();
    let (api, _process, _database) = all(&receiver).await;
    let before = SystemTime::now();
    let delays = [json!(0.8), json!("PT0.5S"), json!("0.3"), json!(0)];
    let messages: Vec<Value> =
        delays.iter().map(|delay| json!({"queueId": 1, "body": delay.to_string(), "delay": delay})).collect();
    let answer = api.post("/messages/batch", &json!(messages)).await;
    assert_eq!(answer.json["accepted"], 4, "{}", answer.text);
    let came = receiver.wait_for_count(SOON, "/q", 4).await;
    for (delay, least) in delays.iter().zip([800, 500, 300, 0]) {
        let request = came.iter().find(|request| request.json() == *delay).unwrap();
        let waited = request.time.duration_since(before).unwrap();
        assert!(waited >= Duration::from_millis(least), "{delay} came after {waited:?}");
    }
    assert_eq!(came[0].text(), "0", "what is due now is not kept by what is not");
}
