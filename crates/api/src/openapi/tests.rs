use std::collections::BTreeSet;

use posthaste_core::entity::{Entity, Field, MessageField};
use serde_json::Value;

use super::*;
use crate::error::ErrorCode;
use crate::rest::registered;

fn json(ids: IdStyle) -> Value {
    serde_json::to_value(document(ids)).unwrap()
}

fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        found.extend(methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    found
}

/// No route without its description, and no description without its route.
#[test]
fn the_document_has_every_route() {
    let mut documented = operations(&json(IdStyle::Text));
    assert!(documented.remove(&("GET".to_owned(), "/graphql".to_owned())));
    assert!(documented.remove(&("POST".to_owned(), "/graphql".to_owned())));
    let registered: BTreeSet<(String, String)> =
        registered().into_iter().map(|(method, path)| (method.to_string(), path)).collect();
    assert_eq!(documented, registered);
    assert!(registered.len() > 40);
}

#[test]
fn every_error_code_can_occur_somewhere() {
    let document = json(IdStyle::Text);
    let paths = document["paths"].to_string();
    for code in ErrorCode::ALL {
        // Those two are of no operation: of preflights, and of what is no HTTP at all.
        let text = match code {
            ErrorCode::CorsRefused | ErrorCode::Malformed => document["info"]["description"].as_str().unwrap(),
            _ => &paths,
        };
        assert!(text.contains(code.as_str()), "{}", code.as_str());
    }
}

#[test]
fn references_have_targets_and_names_are_unique() {
    let document = json(IdStyle::Text);
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    let mut ids = BTreeSet::new();
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id}");
            assert!(operation["responses"]["200"].is_object(), "{id}");
        }
    }
}

#[test]
fn ids_are_what_the_api_writes() {
    let of = |ids| json(ids)["components"]["schemas"]["Message"]["properties"]["queueId"]["type"].clone();
    assert_eq!((of(IdStyle::Text), of(IdStyle::Number)), ("string".into(), "integer".into()));
}

#[test]
fn every_field_can_be_filtered_by_every_operator() {
    let document = json(IdStyle::Text);
    let parameters = document["paths"]["/messages"]["get"]["parameters"].to_string();
    for field in MessageField::ALL.iter().filter(|field| field.is_comparable()) {
        for operator in crate::rest::conditions::OPERATORS {
            assert!(parameters.contains(&format!("\"where.{}.{operator}\"", field.name())), "{field:?} {operator}");
        }
    }
    for field in MessageField::ALL {
        assert_ne!(meanings::meaning(Entity::Message, field.name()), "", "{field:?}");
    }
}
