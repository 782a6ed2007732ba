//! Paths and query strings.

use awc::http::Method;

use super::{LIMIT, NEGATIVE_LIMIT, NEGATIVE_OFFSET, Setup, UNKNOWN_PARAMETER, VALIDATION, assert_refused, right};

#[actix_rt::test]
async fn ids_that_are_no_whole_numbers() {
    let setup = Setup::new().await;
    for resource in ["/queues", "/messages", "/crons", "/cron"] {
        for id in ["abc", "1.5", "1x", "0x1", "+1", "-", "true", "1%00", "1'--", "%20"] {
            for method in [Method::GET, Method::DELETE] {
                let path = format!("{resource}/{id}");
                let answer = setup.api.send(method, &path, None).await;
                assert_refused(&answer, &path, VALIDATION, "params/id must be integer");
            }
        }
    }
    setup.assert_nothing_stored().await;
}

#[actix_rt::test]
async fn parameters() {
    let setup = Setup::new().await;
    let lists = [
        ("limit=101", LIMIT, "Param limit=101 not allowed. Max accepted value 100."),
        ("limit=-1", NEGATIVE_LIMIT, "Param limit=-1 not allowed."),
        ("offset=-1", NEGATIVE_OFFSET, "Param offset=-1 not allowed."),
        ("limit=x", VALIDATION, "querystring/limit must be integer"),
        ("limit=", VALIDATION, "querystring/limit must be integer"),
        ("limit=1.5", VALIDATION, "querystring/limit must be integer"),
        ("limit=9223372036854775808", VALIDATION, "querystring/limit must be integer"),
        ("offset=x&limit=1", VALIDATION, "querystring/offset must be integer"),
        ("limits=1", UNKNOWN_PARAMETER, "no parameter 'limits'"),
        ("where.nope.eq=1", UNKNOWN_PARAMETER, "no parameter 'where.nope.eq'"),
        ("limit=1&force=true", UNKNOWN_PARAMETER, "no parameter 'force'"),
    ];
    for resource in ["/queues", "/messages", "/crons", "/cron"] {
        for (query, kind, says) in lists {
            let path = format!("{resource}/?{query}");
            assert_refused(&setup.api.get(&path).await, &path, kind, says);
        }
        let path = format!("{resource}/1?limit=1");
        assert_refused(&setup.api.get(&path).await, &path, UNKNOWN_PARAMETER, "no parameter 'limit'");
        let path = format!("{resource}/1?forse=true");
        assert_refused(&setup.api.delete(&path).await, &path, UNKNOWN_PARAMETER, "no parameter 'forse'");
    }
    for path in ["/queues/", "/messages/", "/crons/"] {
        let answer = setup.api.post(&format!("{path}?x=1"), &right(path)).await;
        assert_refused(&answer, path, UNKNOWN_PARAMETER, "no parameter 'x'");
    }
    let answer = setup.api.delete("/queues/1?force=1").await;
    assert_refused(&answer, "force=1", VALIDATION, "querystring/force must be boolean");
    let answer = setup.api.delete("/messages/1?force=true").await;
    assert_refused(&answer, "a message", UNKNOWN_PARAMETER, "no parameter 'force'");
    setup.assert_nothing_stored().await;
}
