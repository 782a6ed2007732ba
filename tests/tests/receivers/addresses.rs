//! Addresses that must not be called.

use posthaste_tests::receiver::Receiver;

use super::Scene;

#[actix_rt::test]
async fn what_is_not_public_is_not_called_under_any_spelling() {
    let scene = Scene::with(|launch| launch.env("EGRESS_ALLOW", "")).await;
    let receiver = Receiver::start();
    let port = receiver.address().port();
    let urls = [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://LOCALHOST:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://[::ffff:7f00:1]:{port}/"),
        format!("http://[::127.0.0.1]:{port}/"),
        format!("http://[64:ff9b::127.0.0.1]:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        format!("http://[::]:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[::ffff:169.254.169.254]/".to_owned(),
        "http://[fd00:ec2::254]/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "http://192.168.1.1/".to_owned(),
        "http://172.16.0.1/".to_owned(),
        "http://100.64.0.1/".to_owned(),
    ];
    // One of every range that is not the public internet.
    let ranges = [
        "0.0.0.1",
        "10.255.255.255",
        "100.127.255.255",
        "127.255.255.254",
        "169.254.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.255.255",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "[64:ff9b::a00:1]",
        "[64:ff9b:1::1]",
        "[100::1]",
        "[2001::1]",
        "[2001:10::1]",
        "[2001:db8::1]",
        "[2002:7f00:1::]",
        "[3fff::1]",
        "[5f00::1]",
        "[fc00::1]",
        "[fd12:3456::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[4000::1]",
    ];
    for url in urls.into_iter().chain(ranges.map(|host| format!("http://{host}:{port}/"))) {
        let attempt = scene.try_once(&url).await;
        assert_eq!(attempt.verdict(), "failed blocked_address", "{url}: {attempt:?}");
        assert_eq!(attempt.status, None, "{url}");
    }
    // What two parsers would read differently is not called at all.
    for host in
        ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "public.example@127.0.0.1", "127.0.0.1:80@public.example"]
    {
        let attempt = scene.try_once(&format!("http://{host}:{port}/")).await;
        assert_eq!(attempt.verdict(), "failed invalid_request", "{host}: {attempt:?}");
    }
    assert_eq!(receiver.count(), 0);
}

#[actix_rt::test]
async fn what_is_allowed_is_called_under_every_spelling() {
    let scene = Scene::with(|launch| launch.env("EGRESS_ALLOW", "127.0.0.1,::1")).await;
    let receiver = Receiver::start();
    let port = receiver.address().port();
    // Those above fail because they are blocked, not because they could not be called.
    let hosts = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"];
    for host in hosts {
        let attempt = scene.try_once(&format!("http://{host}:{port}/")).await;
        assert_eq!(attempt.verdict(), "delivered", "{host}: {attempt:?}");
    }
    assert_eq!(receiver.count(), hosts.len());
    let attempt = scene.try_once("http://169.254.169.254/").await;
    assert_eq!(attempt.verdict(), "failed blocked_address", "{attempt:?}");
}

#[actix_rt::test]
async fn denying_beats_allowing() {
    let receiver = Receiver::start();
    let scene = Scene::with(|launch| launch.env("EGRESS_DENY", "127.0.0.1")).await;
    let attempt = scene.try_once(&receiver.url("/")).await;
    assert_eq!(attempt.verdict(), "failed blocked_address", "{attempt:?}");
    assert!(attempt.error.unwrap().contains("denies"));
    assert_eq!(receiver.count(), 0);
}

#[actix_rt::test]
async fn ports_and_schemes_can_be_narrowed() {
    let receiver = Receiver::start();
    let port = receiver.address().port();
    let url = format!("http://127.0.0.1:{port}/");
    for (name, value, says) in [("EGRESS_PORTS", "80,443", "port"), ("EGRESS_SCHEMES", "https", "http")] {
        let scene = Scene::with(|launch| launch.env(name, value)).await;
        let attempt = scene.try_once(&url).await;
        assert_eq!(attempt.verdict(), "failed blocked_address", "{name}: {attempt:?}");
        assert!(attempt.error.as_ref().unwrap().contains(says), "{attempt:?}");
    }
    assert_eq!(receiver.count(), 0);
    let scene = Scene::with(|launch| launch.env("EGRESS_PORTS", &format!("80,{port}-{port}"))).await;
    assert_eq!(scene.try_once(&url).await.verdict(), "delivered");
}
