//! Whom the deliverer trusts, and who trusts the deliverer.

use posthaste_tests::process::Launch;
use posthaste_tests::secure::{Authority, Flaw, Manner, SecureReceiver};
use serde_json::json;

use super::{KEY, Scene};

#[actix_rt::test]
async fn only_a_good_certificate_gets_something() {
    let scene = Scene::new().await;
    for (flaw, verdict) in [
        (Flaw::None, "delivered"),
        (Flaw::Expired, "failed tls"),
        (Flaw::OtherName, "failed tls"),
        (Flaw::SelfSigned, "failed tls"),
    ] {
        let receiver = SecureReceiver::start(&scene.authority.issue(flaw), Manner::default());
        let attempt = scene.try_once(&receiver.url()).await;
        assert_eq!(attempt.verdict(), verdict, "{flaw:?}: {attempt:?}");
        let sent = usize::from(flaw == Flaw::None);
        assert_eq!((receiver.connections(), receiver.requests()), (1, (sent, 0)), "{flaw:?}");
    }
    let stranger = SecureReceiver::start(&Authority::default().issue(Flaw::None), Manner::default());
    assert_eq!(scene.try_once(&stranger.url()).await.verdict(), "failed tls");
}

#[actix_rt::test]
async fn the_handshake_has_its_share_of_the_time() {
    let scene = Scene::new().await;
    let receiver = SecureReceiver::start(&scene.authority.issue(Flaw::None), Manner::default());
    scene.try_once(&receiver.url()).await;
    let times =
        "SELECT count(*) FROM posthaste.attempts WHERE tls_us > 0 AND connect_us >= 0 AND first_byte_us >= tls_us";
    assert_eq!(scene.outbox.number(times).await, 1);
    // Of a request without a body as well.
    let queue = scene.outbox.queue(&receiver.url(), &[("method", "'GET'")]).await;
    let message = scene.outbox.enqueue_with(queue, "body => NULL").await;
    let later = scene.outbox.ended(super::SOON, message).await;
    assert_eq!(later[0].verdict(), "delivered");
}

#[actix_rt::test]
async fn a_queue_has_an_authority_and_a_certificate_of_its_own() {
    let scene = Scene::new().await;
    let api = Launch::api(&scene.database).env("SECRETS_KEY", KEY).start().await;
    let (theirs, ours) = (Authority::default(), Authority::default());
    let manner = Manner { wants: Some(ours.pem()), ..Manner::default() };
    let receiver = SecureReceiver::start(&theirs.issue(Flaw::None), manner);
    let queue = scene.outbox.queue(&receiver.url(), &[("max_retries", "0")]).await;
    let set = async |credentials: serde_json::Value| {
        let answer = api.api().put(&format!("/queues/{queue}/credentials"), &credentials).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    assert_eq!(scene.try_again(queue).await.verdict(), "failed tls", "nobody knows their authority");
    set(json!({"caCertificates": theirs.pem()})).await;
    let attempt = scene.try_again(queue).await;
    assert_eq!(attempt.verdict(), "failed tls", "they want a certificate: {attempt:?}");
    let own = ours.issue(Flaw::None);
    let mine = json!({"certificate": own.certificate, "privateKey": own.key});
    set(json!({"caCertificates": theirs.pem(), "clientCertificate": mine})).await;
    let attempt = scene.try_again(queue).await;
    assert_eq!(attempt.verdict(), "delivered", "{attempt:?}");
    assert_eq!(receiver.requests(), (1, 0));
    let stranger = Authority::default().issue(Flaw::None);
    let other = json!({"certificate": stranger.certificate, "privateKey": stranger.key});
    set(json!({"caCertificates": theirs.pem(), "clientCertificate": other})).await;
    assert_eq!(scene.try_again(queue).await.verdict(), "failed tls", "not with anybody's");

    // What does not belong together is refused when it is set.
    let mixed = json!({"clientCertificate": {"certificate": own.certificate, "privateKey": stranger.key}});
    let answer = api.api().put(&format!("/queues/{queue}/credentials"), &mixed).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.json["message"].as_str().unwrap().contains("the private key that belongs to it"), "{answer:?}");

    // An authority of the queue's own stands instead of the system's.
    let usual = SecureReceiver::start(&scene.authority.issue(Flaw::None), Manner::default());
    scene
        .outbox
        .execute(&format!("UPDATE posthaste.queues SET callback_url = '{}' WHERE id = {queue}", usual.url()))
        .await;
    assert_eq!(scene.try_again(queue).await.verdict(), "failed tls");
}
