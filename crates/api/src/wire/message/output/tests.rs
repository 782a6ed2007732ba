use posthaste_core::entity::Field;
use posthaste_core::ids::{CronId, MessageId, QueueId, Shard};

use super::super::super::output::{IdStyle, View};
use super::*;

fn with_progress(progress: Progress) -> Message {
    Message {
        id: MessageId(1),
        queue_id: QueueId(2),
        body: Some(Body::Text("hi".to_owned())),
        headers: None,
        scheduled_at: Timestamp(1_000_000),
        cron_id: Some(CronId(3)),
        expires_at: None,
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
        progress,
        provenance: Provenance::default(),
        sending: Default::default(),
    }
}

fn json(message: &Message) -> String {
    serde_json::to_string(&View { row: message, fields: MessageField::ALL, ids: IdStyle::Text, output }).unwrap()
}

#[test]
fn state_is_told_in_the_terms_of_the_original() {
    let (asked, later) = (Timestamp(1_000_000), Timestamp(9_000_000));
    let ended = |ending| Progress::Ended { ending, number: 3, at: later };
    for (progress, state) in [
        (
            Progress::Pending { attempts_ended: 0, due_at: asked },
            State { when: asked, failed: false, sent_at: None, retries: 0 },
        ),
        (
            Progress::Pending { attempts_ended: 2, due_at: later },
            State { when: later, failed: false, sent_at: None, retries: 2 },
        ),
        (ended(Ending::Delivered), State { when: asked, failed: false, sent_at: Some(later), retries: 2 }),
        (ended(Ending::Failed), State { when: asked, failed: true, sent_at: Some(later), retries: 2 }),
        (ended(Ending::Expired), State { when: asked, failed: true, sent_at: None, retries: 2 }),
        (ended(Ending::Cancelled), State { when: asked, failed: false, sent_at: None, retries: 2 }),
        (Progress::Forgotten, State { when: asked, failed: false, sent_at: None, retries: 0 }),
    ] {
        assert_eq!(State::of(&with_progress(progress)), state, "{progress:?}");
    }
}

#[test]
fn keys_come_in_the_order_of_the_original() {
    let message = with_progress(Progress::Ended { ending: Ending::Delivered, number: 1, at: Timestamp(2_000_000) });
    assert_eq!(
        json(&message),
        r#"{"id":"1","queueId":"2","when":"1970-01-01T00:00:01.000Z","body":"hi","failed":false,"headers":null,"sentAt":"1970-01-01T00:00:02.000Z","retries":0,"cronId":"3","createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:00.000Z","status":"delivered","expiresAt":null,"bodyBase64":null,"connectTimeoutMs":null,"timeoutMs":null,"traceparent":null,"tracestate":null,"orderingKey":null,"priority":0,"origin":null,"replayOf":null,"eventType":null}"#
    );
}

#[test]
fn a_new_message_is_answered_as_it_came() {
    let message = NewMessage {
        body: Some(Body::Binary(b"a\0b".to_vec())),
        headers: Some(serde_json::json!({"x": 1})),
        expires_at: Some(Timestamp(9_000_000)),
        ..NewMessage::to(QueueId(2))
    };
    let at = Timestamp(1_000_000);
    let accepted = Accepted { id: MessageId(1), shard: Some(Shard(0)), created_at: at, scheduled_at: at };
    assert_eq!(
        json(&super::accepted(message, &accepted)),
        r#"{"id":"1","queueId":"2","when":"1970-01-01T00:00:01.000Z","body":"a\u0000b","failed":false,"headers":{"x":1},"sentAt":null,"retries":0,"cronId":null,"createdAt":"1970-01-01T00:00:01.000Z","updatedAt":"1970-01-01T00:00:01.000Z","status":"pending","expiresAt":"1970-01-01T00:00:09.000Z","bodyBase64":null,"connectTimeoutMs":null,"timeoutMs":null,"traceparent":null,"tracestate":null,"orderingKey":null,"priority":0,"origin":null,"replayOf":null,"eventType":null}"#
    );
}

#[test]
fn a_body_is_shown_as_text_or_in_base64() {
    for (body, shown, base64) in [
        (Body::Text("hi".to_owned()), Some("hi"), None),
        (Body::Binary(b"h\0".to_vec()), Some("h\0"), None),
        (Body::Binary(vec![0, 0xff]), None, Some("AP8=")),
    ] {
        let message = Message { body: Some(body), ..with_progress(Progress::Forgotten) };
        assert_eq!(output(&message, MessageField::Body), Output::text(shown));
        assert_eq!(output(&message, MessageField::BodyBase64), Output::text(base64));
        assert_eq!(output(&message, MessageField::Status), Output::text(Some("unknown")));
    }
}

#[test]
fn what_is_known_of_a_new_message_is_what_it_will_be() {
    let new =
        NewMessage { body: Some(Body::Text("x".to_owned())), at: Some(Timestamp(5_000)), ..NewMessage::to(QueueId(2)) };
    let at = Accepted { id: MessageId(1), shard: None, created_at: Timestamp(1), scheduled_at: Timestamp(5_000) };
    let stored = accepted(new.clone(), &at);
    for &field in MessageField::ALL {
        let known = new_output(&new, field);
        assert!(known == Output::Null || known == output(&stored, field), "{field:?}");
    }
}
