//! The pages as files; tests/pages.rs looks at them in a browser.

use awc::http::Method;

use super::{Setup, header};

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

#[actix_rt::test]
async fn pages_need_no_credentials_and_are_confined() {
    let setup = Setup::new(&[("ADMIN_SECRET", "open sesame")]).await;
    for (path, kind, part) in [
        ("/index.html", HTML, "<title>Posthaste</title>"),
        ("/documentation/", HTML, "swagger-ui-bundle.js"),
        ("/graphiql", HTML, "graphiql.min.js"),
        ("/graphiql/", HTML, "graphiql.min.js"),
        ("/assets/pages.css", "text/css; charset=utf-8", ".index"),
        ("/assets/posthaste.svg", "image/svg+xml", "<svg"),
        ("/assets/graphiql.js", SCRIPT, "createRoot"),
        ("/assets/graphiql.min.js", SCRIPT, "GraphiQL"),
        ("/assets/graphiql.min.css", "text/css; charset=utf-8", "graphiql"),
        ("/assets/react.production.min.js", SCRIPT, "React"),
        ("/assets/react-dom.production.min.js", SCRIPT, "ReactDOM"),
        ("/assets/graphql-ws.min.js", SCRIPT, "graphqlWs"),
        ("/documentation/swagger-ui.css", "text/css", ".swagger-ui"),
        ("/documentation/swagger-ui-bundle.js", "text/javascript", "SwaggerUIBundle"),
        ("/documentation/swagger-ui-standalone-preset.js", "text/javascript", "StandaloneLayout"),
        ("/documentation/swagger-initializer.js", "text/javascript", "/documentation/json"),
        ("/documentation/json", "application/json; charset=utf-8", "\"openapi\":\"3.1"),
        ("/documentation/openapi.json", "application/json; charset=utf-8", "\"openapi\":\"3.1"),
    ] {
        let answer = setup.api.get(path).await;
        assert_eq!((answer.status, header(&answer, "content-type")), (200, kind), "{path}");
        assert!(answer.text.contains(part), "{path}: no {part:?}");
        let policy = header(&answer, "content-security-policy");
        for rule in ["default-src 'none'", "script-src 'self';", "connect-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{path}");

        let tag = header(&answer, "etag");
        let again = setup.api.send_with(Method::GET, path, &[("if-none-match", tag)]).await;
        assert_eq!((again.status, again.text.as_str(), header(&again, "etag")), (304, "", tag), "{path}");
        let head = setup.api.send_with(Method::HEAD, path, &[]).await;
        assert_eq!((head.status, head.text.as_str(), header(&head, "etag")), (200, "", tag), "{path}");
    }
    let mut connection = setup.connect().await;
    connection.send(b"GET /documentation HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let answer = String::from_utf8(connection.end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 301 ") && answer.contains("\r\nlocation: /documentation/\r\n"), "{answer}");
    for path in ["/assets/nope.js", "/documentation/swagger-ui.js.map", "/documentation/nope", "/graphiql/nope"] {
        assert_eq!(setup.api.get(path).await.status, 404, "{path}");
    }
    assert_eq!(setup.api.send_with(Method::POST, "/graphiql", &[]).await.status, 404);
}

#[actix_rt::test]
async fn the_root_is_a_page_for_browsers_and_json_for_programs() {
    let setup = Setup::new(&[]).await;
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for (accept, kind) in [
        (browser, HTML),
        ("*/*", "application/json; charset=utf-8"),
        ("application/json", "application/json; charset=utf-8"),
    ] {
        let answer = setup.api.send_with(Method::GET, "/", &[("accept", accept)]).await;
        assert_eq!((answer.status, header(&answer, "content-type"), header(&answer, "vary")), (200, kind, "accept"));
    }
    assert!(setup.api.get("/").await.json["message"].is_string());
}
