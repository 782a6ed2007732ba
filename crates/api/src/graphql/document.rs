//! Operations, as far as they have to be read before they are executed.

use std::collections::BTreeSet;

use async_graphql::parser::types::{
    Directive, DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection,
};
use async_graphql::{Name, Positioned};

const SUBSCRIPTION: &str = "Subscription";

/// What an operation is; `None` where the document does not tell which one is meant.
pub fn operation_type(document: &ExecutableDocument, name: Option<&str>) -> Option<OperationType> {
    let operation = match (&document.operations, name) {
        (DocumentOperations::Single(operation), _) => Some(operation),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name),
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => operations.values().next(),
        (DocumentOperations::Multiple(_), None) => None,
    };
    operation.map(|operation| operation.node.ty)
}

/// Writes the fields of fragments at the root of subscriptions where the fragments stood: the executor only looks at
/// fields there. To be called with a document whose fragments are known not to go in circles.
pub fn flatten_subscriptions(document: &mut ExecutableDocument) {
    let mut used = BTreeSet::new();
    let fragments = &document.fragments;
    let operations: Vec<&mut Positioned<OperationDefinition>> = match &mut document.operations {
        DocumentOperations::Single(operation) => vec![operation],
        DocumentOperations::Multiple(operations) => operations.values_mut().collect(),
    };
    for operation in operations.into_iter().filter(|operation| operation.node.ty == OperationType::Subscription) {
        let set = &mut operation.node.selection_set.node.items;
        let mut flat = Vec::with_capacity(set.len());
        for selection in std::mem::take(set) {
            flatten(selection, &[], fragments, &mut flat, &mut used);
        }
        *set = flat;
    }
    // They can be used nowhere else, and an unused one is an error.
    document.fragments.retain(|name, _| !used.contains(name));
}

fn flatten(
    selection: Positioned<Selection>,
    directives: &[Positioned<Directive>],
    fragments: &std::collections::HashMap<Name, Positioned<async_graphql::parser::types::FragmentDefinition>>,
    flat: &mut Vec<Positioned<Selection>>,
    used: &mut BTreeSet<Name>,
) {
    let pos = selection.pos;
    match selection.node {
        Selection::Field(mut field) => {
            field.node.directives.extend(directives.iter().cloned());
            flat.push(Positioned::new(Selection::Field(field), pos));
        }
        Selection::InlineFragment(fragment)
            if fragment.node.type_condition.as_ref().is_none_or(|on| on.node.on.node == SUBSCRIPTION) =>
        {
            let directives = [directives, &fragment.node.directives].concat();
            for selection in fragment.node.selection_set.node.items {
                flatten(selection, &directives, fragments, flat, used);
            }
        }
        Selection::FragmentSpread(spread) => match fragments.get(&spread.node.fragment_name.node) {
            Some(fragment) if fragment.node.type_condition.node.on.node == SUBSCRIPTION => {
                used.insert(spread.node.fragment_name.node.clone());
                let directives = [directives, &spread.node.directives].concat();
                for selection in &fragment.node.selection_set.node.items {
                    flatten(selection.clone(), &directives, fragments, flat, used);
                }
            }
            // What is wrong with it is for the validation to say.
            Some(_) | None => flat.push(Positioned::new(Selection::FragmentSpread(spread), pos)),
        },
        other @ Selection::InlineFragment(_) => flat.push(Positioned::new(other, pos)),
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    #[test]
    fn the_operation_is_found() {
        let document = parse_query("query A { queues { id } } mutation B { x }").unwrap();
        assert_eq!(operation_type(&document, Some("A")), Some(OperationType::Query));
        assert_eq!(operation_type(&document, Some("B")), Some(OperationType::Mutation));
        assert_eq!(operation_type(&document, Some("C")), None);
        assert_eq!(operation_type(&document, None), None);
        assert_eq!(operation_type(&parse_query("{ a }").unwrap(), None), Some(OperationType::Query));
    }

    #[test]
    fn subscriptions_have_no_fragments_at_their_root() {
        let text = "subscription { ...S ... on Subscription @skip(if: true) { queueDeleted { id } } }
                    fragment S on Subscription { queueSaved { ...Q } } fragment Q on Queue { id }";
        let mut document = parse_query(text).unwrap();
        flatten_subscriptions(&mut document);
        assert_eq!(document.fragments.keys().map(Name::as_str).collect::<Vec<_>>(), ["Q"]);
        let DocumentOperations::Single(operation) = &document.operations else { panic!() };
        let fields: Vec<_> = operation
            .node
            .selection_set
            .node
            .items
            .iter()
            .map(|selection| match &selection.node {
                Selection::Field(field) => (field.node.name.node.as_str(), field.node.directives.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(fields, [("queueSaved", 0), ("queueDeleted", 1)]);
    }
}
