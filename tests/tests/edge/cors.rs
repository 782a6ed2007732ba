//! Pages of other origins.

use awc::http::Method;
use posthaste_tests::client::Answer;

use super::{Setup, error, header};

const APP: &str = "https://app.example.com";

impl Setup {
    async fn preflight(&self, path: &str, origin: &str, method: &str) -> Answer {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", method),
            ("access-control-request-headers", "content-type,x-platformatic-admin-secret"),
        ];
        self.api.send_with(Method::OPTIONS, path, &headers).await
    }

    async fn get_from(&self, path: &str, origin: &str) -> Answer {
        self.api.send_with(Method::GET, path, &[("origin", origin)]).await
    }
}

#[actix_rt::test]
async fn off_by_default() {
    let setup = Setup::new(&[]).await;
    assert_eq!(setup.preflight("/queues", APP, "GET").await.status, 404);
    let answer = setup.get_from("/queues", APP).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{answer:?}");
}

#[actix_rt::test]
async fn for_named_origins() {
    let settings =
        [("CORS_ORIGINS", "https://other.example, https://app.example.com"), ("ADMIN_SECRET", "open sesame")];
    let setup = Setup::new(&settings).await;
    for path in ["/queues", "/messages/1?force=true", "/nope"] {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let answer = setup.preflight(path, APP, method).await;
            assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{path}");
            assert_eq!(header(&answer, "access-control-allow-origin"), APP);
            assert!(header(&answer, "access-control-allow-methods").contains(method));
            let allowed = header(&answer, "access-control-allow-headers");
            assert!(allowed.contains("x-platformatic-admin-secret"), "{allowed}");
            assert_eq!(header(&answer, "access-control-allow-credentials"), "");
            assert!(header(&answer, "vary").to_lowercase().contains("origin"), "{answer:?}");
        }
    }
    // An error must be readable as well.
    let answer = setup.get_from("/queues", APP).await;
    assert_eq!((answer.status, header(&answer, "access-control-allow-origin")), (401, APP));
    let exposed = header(&answer, "access-control-expose-headers").to_lowercase();
    for name in ["x-total-count", "x-start-after", "x-end-before", "location", "idempotency-replayed", "retry-after"] {
        assert!(exposed.contains(name), "{name} in {exposed}");
    }
    let answer = setup.get_from(&format!("/queues?{}", "x".repeat(20_000)), APP).await;
    assert_eq!((answer.status, header(&answer, "access-control-allow-origin")), (414, APP));

    for origin in ["https://evil.example", "http://app.example.com", "https://app.example.com.evil.example", "null"] {
        let answer = setup.preflight("/queues", origin, "GET").await;
        assert_eq!(error(answer.status, &answer.json), (403, "PH_CORS_REFUSED"), "{origin}");
        assert_eq!(header(&answer, "access-control-allow-origin"), "");
        let answer = setup.get_from("/healthz", origin).await;
        assert_eq!((answer.status, header(&answer, "access-control-allow-origin")), (200, ""), "{origin}");
    }
    let answer = setup.preflight("/queues", APP, "PATCH").await;
    assert_eq!(error(answer.status, &answer.json), (403, "PH_CORS_REFUSED"));
}

#[actix_rt::test]
async fn for_all_origins() {
    let setup = Setup::new(&[("CORS_ORIGINS", "*")]).await;
    let answer = setup.preflight("/queues", APP, "POST").await;
    assert_eq!((answer.status, header(&answer, "access-control-allow-origin")), (204, "*"));
    let answer = setup.get_from("/queues", APP).await;
    assert_eq!((answer.status, header(&answer, "access-control-allow-origin")), (200, "*"));
    assert_eq!(header(&answer, "access-control-allow-credentials"), "");
    assert_eq!(setup.api.send_with(Method::OPTIONS, "/queues", &[]).await.status, 404, "no preflight");
}
