//! Previews, refusals, and GraphQL.

use serde_json::json;

use super::{EVERY_SECOND, LONG, Scene};

#[actix_rt::test]
async fn a_preview_tells_when_a_cron_would_fire() {
    let scene = Scene::without_scheduler().await;
    let preview = async |query: &str| scene.api().get(&format!("/crons/preview?{query}")).await;
    let answer = preview("schedule=30+2+*+*+*&timezone=Europe/Berlin&from=2027-03-26T12:00:00Z&count=3").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json["description"], "At 02:30 (Europe/Berlin).");
    // The clocks skip it on the 28th, and it fires when they have.
    let ticks = ["2027-03-27T01:30:00.000Z", "2027-03-28T01:00:00.000Z", "2027-03-29T00:30:00.000Z"];
    assert_eq!(answer.json["ticks"], json!(ticks));
    let answer = preview("every=PT36H&startAt=2027-01-01T00:00:00Z&endAt=2027-01-04&from=2026-12-01").await;
    assert_eq!(
        answer.json["ticks"],
        json!(["2027-01-01T00:00:00.000Z", "2027-01-02T12:00:00.000Z", "2027-01-04T00:00:00.000Z"])
    );
    let answer = preview("at=2199-01-01T00:00:00Z").await;
    assert_eq!(answer.json["ticks"], json!(["2199-01-01T00:00:00.000Z"]));
    assert_eq!(preview("schedule=@hourly").await.json["ticks"].as_array().map(Vec::len), Some(5));

    for (query, status, says) in [
        ("", 400, "must have required property 'schedule'"),
        ("schedule=*+25+*+*+*", 400, "hour field is wrong at position 3: \"25\" is not a number from 0 to 23"),
        ("schedule=@hourly&timezone=Berlin", 400, "is not an IANA time zone"),
        ("schedule=@hourly&every=PT1H", 400, "takes one of schedule, every and at"),
        ("schedule=@hourly&count=0", 400, "querystring/count must be from 1 to 100"),
        ("schedule=@hourly&count=101", 400, "querystring/count must be from 1 to 100"),
        ("schedule=@hourly&from=yesterday", 400, "querystring/from"),
        ("schedule=@hourly&jitter=5", 400, "jitter"),
        ("every=PT0.1S", 400, "the interval must be from a second"),
    ] {
        let refused = preview(query).await;
        assert_eq!(refused.status, status, "{query}: {}", refused.text);
        assert!(refused.json["message"].as_str().unwrap().contains(says), "{query}: {}", refused.text);
    }
}

#[actix_rt::test]
async fn what_would_never_fire_is_refused_and_nothing_is_stored() {
    let scene = Scene::without_scheduler().await;
    for (fields, says) in [
        (json!({"at": "2020-01-01T00:00:00Z"}), "body/at: it never fires again"),
        (json!({"schedule": "@hourly", "endAt": "2020-01-01T00:00:00Z"}), "body/schedule: it never fires again"),
        (json!({"schedule": "0 0 30 2 *"}), "never fires"),
        (json!({"every": "P1M"}), "no years and months"),
        (json!({"every": "P1D", "at": "2199-01-01T00:00:00Z"}), "takes one of schedule, every and at"),
        (json!({}), "must have required property 'schedule'"),
        (json!({"schedule": "@hourly", "headers": {"x": "{{ tick }}"}}), "placeholders"),
    ] {
        let mut cron = fields.clone();
        cron["queueId"] = json!(scene.queue);
        let refused = scene.api().post("/crons", &cron).await;
        assert_eq!(refused.status, 400, "{fields}: {}", refused.text);
        assert!(refused.json["message"].as_str().unwrap().contains(says), "{fields}: {}", refused.text);
    }
    for table in ["crons", "messages", "pending", "cron_ticks"] {
        assert_eq!(scene.outbox.number(&format!("SELECT count(*) FROM posthaste.{table}")).await, 0, "{table}");
    }
    let cron = scene.cron(json!({"every": "P1D"})).await;
    let ticks = format!("/crons/{cron}/ticks");
    for (query, status) in
        [("limit=0", 400), ("limit=1001", 400), ("before=x", 400), ("after=x", 400), ("limit=1", 200)]
    {
        assert_eq!(scene.api().get(&format!("{ticks}?{query}")).await.status, status, "{query}");
    }
    assert_eq!(scene.api().get("/crons/99999/ticks").await.status, 404);
    assert_eq!(scene.api().post("/crons/99999/pause", &json!({})).await.status, 404);
}

#[actix_rt::test]
async fn graphql_has_all_of_it() {
    let scene = Scene::new().await;
    let ask = async |query: String| {
        let answer = scene.api().post("/graphql", &json!({"query": query})).await;
        assert!(answer.json.get("errors").is_none(), "{}", answer.text);
        answer.json["data"].clone()
    };
    let input = format!(r#"queueId: "{}", every: "PT1S", missed: "skip", jitter: "PT0.1S", paused: true"#, scene.queue);
    let saved = ask(format!(
        "mutation {{ saveCron(input: {{{input}}}) {{ id every missed jitter paused schedule nextFireAt }} }}"
    ))
    .await;
    let cron = saved["saveCron"].clone();
    assert_eq!((&cron["every"], &cron["missed"], &cron["jitter"]), (&json!("PT1S"), &json!("skip"), &json!("PT0.1S")));
    let id = cron["id"].as_str().unwrap().to_owned();
    let triggered = ask(format!("mutation {{ triggerCron(id: {id}) {{ id cron {{ id }} }} }}")).await;
    assert_eq!(triggered["triggerCron"]["cron"]["id"], json!(id));
    let resumed = ask(format!("mutation {{ resumeCron(id: {id}) {{ paused }} }}")).await;
    assert_eq!(resumed["resumeCron"]["paused"], false);
    scene.receiver.wait_for_count(LONG, "/hook", 3).await;
    let paused = ask(format!(
        "mutation {{ pauseCron(id: {id}) {{ paused ticks(limit: 1000) {{ outcome number messageId }} }} }}"
    ))
    .await;
    let ticks = paused["pauseCron"]["ticks"].as_array().unwrap().clone();
    let of = |outcome: &str| ticks.iter().filter(|tick| tick["outcome"] == outcome).count();
    assert!(of("triggered") == 1 && of("fired") >= 2, "{ticks:?}");
    let preview = format!(
        "{{ previewCron(schedule: \"{EVERY_SECOND}\", from: \"2027-01-01\", count: 1) {{ description ticks }} }}"
    );
    let preview = ask(preview).await;
    assert_eq!(
        preview["previewCron"],
        json!({"description": "Every second (UTC).", "ticks": ["2027-01-01T00:00:01.000Z"]})
    );
}
