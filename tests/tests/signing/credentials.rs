//! What a queue shows its receiver in headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Scene;

#[actix_rt::test]
async fn each_authorization_is_sent_over_what_headers_say() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    let path = format!("/queues/{queue}/credentials");
    assert_eq!(scene.api().get(&path).await.status, 404, "it has none");
    let headers =
        r#"UPDATE posthaste.queues SET headers = '{"Authorization": "of the queue", "X-Key": "of the queue"}'"#;
    scene.outbox.execute(headers).await;
    let basic = format!("Basic {}", STANDARD.encode("me:s3cret:with:colons"));
    let cases = [
        (json!({"type": "bearer", "token": "t0ken"}), "authorization", "Bearer t0ken"),
        (json!({"type": "basic", "username": "me", "password": "s3cret:with:colons"}), "authorization", basic.as_str()),
        (json!({"type": "header", "name": "X-Key", "value": "v4lue"}), "x-key", "v4lue"),
    ];
    for (authorization, name, value) in cases {
        let set = scene.api().put(&path, &json!({"authorization": authorization})).await;
        assert_eq!(set.status, 200, "{set:?}");
        assert_eq!(set.json["authorization"]["type"], authorization["type"]);
        assert_eq!(scene.api().get(&path).await.json, set.json);
        let request = scene.deliver(queue, "x").await;
        let sent: Vec<_> = request.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value).collect();
        assert_eq!(sent, [value]);
    }
    let deleted = scene.api().delete(&path).await;
    assert_eq!((deleted.status, &deleted.json["authorization"]["name"]), (200, &json!("X-Key")));
    assert_eq!(scene.api().delete(&path).await.status, 404);
    let request = scene.deliver(queue, "x").await;
    assert_eq!(
        (request.header("authorization"), request.header("x-key")),
        (Some("of the queue"), Some("of the queue"))
    );
}

#[actix_rt::test]
async fn what_cannot_be_used_is_refused_when_it_is_set() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    let path = format!("/queues/{queue}/credentials");
    for (body, says) in [
        (json!({}), "body must have authorization"),
        (json!({"authorization": {"type": "digest"}}), "body unknown variant `digest`"),
        (json!({"authorization": {"type": "bearer", "token": "a\nb"}}), "body authorization.token: must not be empty"),
        (json!({"caCertificates": "none"}), "body caCertificates: must be one or more certificates in PEM"),
    ] {
        let answer = scene.api().put(&path, &body).await;
        assert_eq!((answer.status, &answer.json["code"]), (400, &json!("FST_ERR_VALIDATION")), "{answer:?}");
        assert!(answer.json["message"].as_str().unwrap().starts_with(says), "{answer:?}");
    }
    let garbage = "-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n";
    let answer = scene.api().put(&path, &json!({"caCertificates": garbage})).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(
        scene
            .api()
            .put("/queues/99999/credentials", &json!({"authorization": {"type": "bearer", "token": "x"}}))
            .await
            .status,
        404
    );
    assert_eq!(scene.api().get(&path).await.status, 404, "nothing of it was stored");
}

#[actix_rt::test]
async fn the_same_over_graphql() {
    let scene = Scene::new().await;
    let queue = scene.queue("/hook").await;
    let ask = async |query: String, variables: serde_json::Value| {
        let answer = scene.api().post("/graphql", &json!({"query": query, "variables": variables})).await;
        assert!(answer.json.get("errors").is_none(), "{answer:?}");
        answer.json["data"].clone()
    };
    let made = ask(
        format!("mutation {{ createQueueSecret(id: {queue}, type: \"v1\") {{ id type secret publicKey }} }}"),
        json!({}),
    )
    .await;
    let secret = made["createQueueSecret"]["secret"].as_str().unwrap();
    let given = json!({"given": {"authorization": {"type": "bearer", "token": "t0ken"}}});
    let set = format!(
        "mutation ($given: JSONObject!) {{ setQueueCredentials(id: {queue}, credentials: $given) {{ authorization updatedAt }} }}"
    );
    assert_eq!(ask(set, given).await["setQueueCredentials"]["authorization"], json!({"type": "bearer"}));
    let request = scene.deliver(queue, "x").await;
    assert!(super::verifies(&request, secret));
    assert_eq!(request.header("authorization"), Some("Bearer t0ken"));

    let shown = ask(
        format!(
            "{{ getQueueById(id: {queue}) {{ secrets {{ id secret revokedAt }} credentials {{ authorization }} }} }}"
        ),
        json!({}),
    )
    .await;
    let shown = &shown["getQueueById"];
    assert_eq!(shown["secrets"], json!([{"id": made["createQueueSecret"]["id"], "secret": null, "revokedAt": null}]));
    let id = made["createQueueSecret"]["id"].as_str().unwrap();
    let revoked = ask(format!("mutation {{ revokeQueueSecret(id: {queue}, secretId: {id}) {{ revokedAt }} deleteQueueCredentials(id: {queue}) {{ queueId }} }}"), json!({})).await;
    assert!(revoked["revokeQueueSecret"]["revokedAt"].is_string(), "{revoked}");
    let request = scene.deliver(queue, "x").await;
    assert_eq!((request.header("authorization"), request.header("webhook-signature")), (None, None));
}
