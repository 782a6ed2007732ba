//! The audit log.

use super::*;

#[actix_rt::test]
async fn what_administrators_do_is_recorded_the_newest_first() {
    let setup = Setup::new().await;
    let queue = json!({"name": "q", "callbackUrl": "http://127.0.0.1:9/", "method": "POST"});
    let queue = setup.admin.create_queue(&queue).await;
    let (id, key) = created(&setup.admin, &reader(&json!({"queueIds": [queue]}))).await;
    setup.admin.delete(&format!("/api-keys/{id}")).await;

    let all = setup.admin.get("/audit-log").await;
    let entries: Vec<Value> = all.json.as_array().unwrap().clone();
    let of_keys: Vec<_> = entries.iter().filter(|entry| entry["entity"] == "apiKey").collect();
    let actions: Vec<_> = of_keys.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["api_key.revoke", "api_key.create"]);
    for entry in of_keys {
        assert_eq!((entry["actor"].as_str(), &entry["entityId"]), (Some("admin"), &json!(id)));
        assert_eq!(
            entry["detail"],
            json!({"name": "reader", "prefix": key[..10], "scopes": ["queues:read"], "queueIds": [queue]})
        );
    }
    assert!(!all.text.contains(&key[10..]));

    let newest = setup.admin.get("/audit-log?limit=1").await.json;
    assert_eq!(newest, json!([entries[0]]));
    assert_eq!(setup.admin.get("/audit-log/?limit=1&offset=1").await.json, json!([entries[1]]));
    for (bounds, found) in [
        ("where.at.gte=2020-01-01T00:00:00Z", entries.len()),
        ("where.at.gt=2020-01-01T00:00:00Z&where.at.lte=9999-12-31T00:00:00Z", entries.len()),
        ("where.at.lt=2020-01-01T00:00:00Z", 0),
    ] {
        let answer = setup.admin.get(&format!("/audit-log?{bounds}")).await;
        assert_eq!(answer.json.as_array().map(Vec::len), Some(found), "{bounds}");
    }
    for wrong in ["limit=x", "limit=101", "where.at.gte=yesterday", "where.actor.eq=admin", "x=1"] {
        let path = format!("/audit-log?{wrong}");
        assert_eq!(setup.admin.get(&path).await.status, 400, "{wrong}");
        assert_eq!(code(&setup.process.api().get(&path).await), UNAUTHORIZED, "{wrong}");
    }
}
