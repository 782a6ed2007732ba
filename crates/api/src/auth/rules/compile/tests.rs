use serde_json::json;

use super::*;

fn faults(rules: &Value) -> Vec<String> {
    compile(&rules.to_string()).err().unwrap_or_default()
}

#[test]
fn what_is_unknown_is_named_with_what_is_closest() {
    let with = |key: &str, value: Value| {
        let mut rule = json!({"role": "user", "entity": "queue", "find": true});
        rule[key] = value;
        json!([{"role": "other", "entities": ["queue", "cron"], "delete": true}, rule])
    };
    for (key, value, expected) in [
        ("entity", json!("queu"), "Unknown entity 'queu' in authorization rule 1. Did you mean 'queue'?"),
        ("entity", json!("Messages"), "Unknown entity 'Messages' in authorization rule 1. Did you mean 'message'?"),
        ("finds", json!(true), "Unknown key 'finds' in authorization rule 1. Did you mean 'find'?"),
        ("update_many", json!(true), "Unknown key 'update_many' in authorization rule 1. Did you mean 'updateMany'?"),
        (
            "find",
            json!({"checks": {"callbackURL": "X"}}),
            "Unknown field 'callbackURL' of entity 'queue' in authorization rule 1. Did you mean 'callbackUrl'?",
        ),
        (
            "find",
            json!({"fields": ["id", "nam"]}),
            "Unknown field 'nam' of entity 'queue' in authorization rule 1. Did you mean 'name'?",
        ),
        (
            "defaults",
            json!({"methd": "X"}),
            "Unknown field 'methd' of entity 'queue' in authorization rule 1. Did you mean 'method'?",
        ),
        (
            "save",
            json!({"check": {"id": "X"}}),
            "Unknown key 'check' of 'save' in authorization rule 1. Did you mean 'checks'?",
        ),
        (
            "delete",
            json!({"checks": {"id": {"equal": "X"}}}),
            "Unknown operator 'equal' in authorization rule 1. Did you mean 'eq'?",
        ),
        (
            "delete",
            json!({"checks": {"id": {"isNull": "X"}}}),
            "Unknown operator 'isNull' in authorization rule 1. Did you mean 'in'?",
        ),
    ] {
        let rules = with(key, value);
        let told = faults(&rules);
        assert_eq!(told.len(), 1, "{rules}: {told:?}");
        // Of several that are equally close, the first.
        assert!(told[0] == expected || key == "delete" && told[0].contains("Did you mean"), "{told:?}");
    }
    let document = faults(&json!({"rules": [], "rolekey": "x"}));
    assert_eq!(document, ["Unknown key 'rolekey'. Did you mean 'roleKey'?"]);
}

#[test]
fn what_has_the_wrong_form_is_refused() {
    for (rules, says) in [
        (json!(7), "takes an array of rules"),
        (json!({}), "has no 'rules'"),
        (json!({"rules": {}}), "'rules' must be an array"),
        (json!({"rules": [], "anonymousRole": ""}), "'anonymousRole' must be a string"),
        (json!({"rules": [], "anonymousRole": "platformatic-admin"}), "which may do everything"),
        (json!({"rules": [], "roleKey": 1}), "'roleKey' must be a string"),
        (json!({"rules": [], "rolePath": "a..b"}), "'rolePath' must be a string"),
        (json!({"rules": [], "rolePath": "a.b", "roleKey": "a"}), "exclude each other"),
        (json!(["x"]), "authorization rule 0 must be an object"),
        (json!([{"entity": "queue"}]), "'role' in authorization rule 0 must be a string"),
        (json!([{"role": "a,b", "entity": "queue"}]), "'role' in authorization rule 0 must be a string"),
        (json!([{"role": " a", "entity": "queue"}]), "'role' in authorization rule 0 must be a string"),
        (json!([{"role": "a"}]), "'entity' in authorization rule 0 must be a string"),
        (json!([{"role": "a", "entities": []}]), "'entity' in authorization rule 0"),
        (json!([{"role": "a", "entities": "queue"}]), "'entity' in authorization rule 0"),
        (json!([{"role": "a", "entities": ["queue", 1]}]), "'entity' in authorization rule 0"),
        (json!([{"role": "a", "entity": "queue", "entities": ["cron"]}]), "'entity' in authorization rule 0"),
        (json!([{"role": "a", "entity": "queue", "find": "yes"}]), "'find' in authorization rule 0 must be true"),
        (json!([{"role": "a", "entity": "queue", "find": null}]), "'find' in authorization rule 0 must be true"),
        (json!([{"role": "a", "entity": "queue", "find": {}}]), "'find' in authorization rule 0 must be true"),
        (json!([{"role": "a", "entity": "queue", "find": {"checks": {}}}]), "'checks' of 'find'"),
        (json!([{"role": "a", "entity": "queue", "find": {"checks": "id"}}]), "'checks' of 'find'"),
        (json!([{"role": "a", "entity": "queue", "find": {"fields": "id"}}]), "'fields' of 'find'"),
        (json!([{"role": "a", "entity": "queue", "find": {"fields": [1]}}]), "must hold strings"),
        (json!([{"role": "a", "entity": "queue", "save": {"checks": {"id": 7}}}]), "check of 'id'"),
        (json!([{"role": "a", "entity": "queue", "save": {"checks": {"id": ""}}}]), "must name a claim"),
        (json!([{"role": "a", "entity": "queue", "save": {"checks": {"id": {}}}}]), "check of 'id'"),
        (json!([{"role": "a", "entity": "queue", "save": {"checks": {"id": {"eq": 7}}}}]), "must name a claim"),
        (json!([{"role": "a", "entity": "queue", "save": {"checks": {"id": {"like": "X"}}}}]), "'like' does not suit"),
        (
            json!([{"role": "a", "entity": "message", "find": {"checks": {"failed": {"gt": "X"}}}}]),
            "'gt' does not suit",
        ),
        (json!([{"role": "a", "entity": "queue", "find": {"checks": {"headers": "X"}}}]), "cannot be checked"),
        (json!([{"role": "a", "entity": "message", "find": {"checks": {"bodyBase64": "X"}}}]), "cannot be checked"),
        (json!([{"role": "a", "entity": "queue", "save": true, "defaults": ["id"]}]), "'defaults'"),
        (json!([{"role": "a", "entity": "queue", "save": true, "defaults": {"name": 1}}]), "must name a claim"),
        (json!([{"role": "a", "entity": "queue", "save": true, "defaults": {"id": "X"}}]), "cannot have a default"),
        (json!([{"role": "a", "entity": "cron", "save": true, "defaults": {"headers": "X"}}]), "cannot have a default"),
        (json!([{"role": "a", "entity": "*", "find": {"checks": {"queueId": "X"}}}]), "of entity 'queue'"),
        (json!([{"role": "platformatic-admin", "entity": "queue", "find": false}]), "cannot be bounded"),
        (json!([{"role": "platformatic-admin", "entity": "queue", "defaults": {}}]), "cannot be bounded"),
    ] {
        let told = faults(&rules);
        assert!(told.len() == 1 && told[0].contains(says), "{rules}: {told:?}");
    }
    let told = compile("[{").err().unwrap_or_default();
    assert!(told.len() == 1 && told[0].starts_with("is not JSON: "), "{told:?}");
}

#[test]
fn every_fault_is_told() {
    let told = faults(&json!([{"role": "a", "entity": "queu"}, {"role": "a", "entity": "cron", "x": 1, "find": 1}, 7]));
    assert_eq!(told.len(), 4, "{told:?}");
}

#[test]
fn documents_say_where_roles_are() {
    let rules = compile(r#"{"roleKey": "groups", "anonymousRole": "guest", "rules": []}"#).unwrap();
    assert_eq!((rules.anonymous_role.as_str(), rules.roles_at), ("guest", RolesAt::Key("groups".to_owned())));
    let rules =
        compile(r#"{"rolePath": "a.b", "rules": [{"role": "platformatic-admin", "entity": "*", "save": true}]}"#);
    assert_eq!(rules.unwrap().roles_at, RolesAt::Path(vec!["a".to_owned(), "b".to_owned()]));
    let rules = compile("[]").unwrap();
    assert_eq!((rules.anonymous_role.as_str(), rules.roles_at), ("anonymous", RolesAt::default()));
}

#[test]
fn distances() {
    for (a, b, steps) in [("", "", 0), ("a", "", 1), ("", "ab", 2), ("queu", "queue", 1), ("kitten", "sitting", 3)] {
        assert_eq!((distance(a, b), distance(b, a)), (steps, steps), "{a} {b}");
    }
}
