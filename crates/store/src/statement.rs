//! Hot statements: a fixed text, prepared once per connection.
//!
//! diesel's `sql_query` parses and plans its text anew on every call, which costs more than most of these statements
//! themselves. A statement made here has a query id of its own, so diesel keeps it prepared for as long as its
//! connection lives. Binds are named in the text, `{name}`, may be used more than once, and are typed where the
//! statement is declared.

/// Declares a statement: a struct with one public field per bind, which diesel-async can `load`, `load_stream` or
/// `execute`. Binds may borrow, with one lifetime.
///
/// ```text
/// statement! {
///     /// The messages among `ids` that exist.
///     pub(crate) struct Existing { ids: Vec<i64> => Array<BigInt> }
///     row (BigInt,)
///     "SELECT m.id FROM unnest({ids}) AS i(id) JOIN posthaste.messages m USING (id)"
/// }
/// ```
macro_rules! statement {
    (
        $(#[$doc:meta])*
        $vis:vis struct $name:ident $(<$life:lifetime>)? { $($field:ident: $rust:ty => $sql:ty),* $(,)? }
        row $row:tt
        $text:expr
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        $vis struct $name $(<$life>)? { $(pub $field: $rust),* }

        const _: () = {
            /// What the statement is known by, whatever its binds borrow.
            #[derive(Debug)]
            pub struct Known;

            impl $(<$life>)? diesel::query_builder::QueryId for $name $(<$life>)? {
                type QueryId = Known;
                const HAS_STATIC_QUERY_ID: bool = true;
            }
        };

        impl $(<$life>)? diesel::query_builder::Query for $name $(<$life>)? {
            type SqlType = $row;
        }

        impl $(<$life>)? diesel::query_builder::QueryFragment<diesel::pg::Pg> for $name $(<$life>)? {
            fn walk_ast<'b>(
                &'b self,
                mut out: diesel::query_builder::AstPass<'_, 'b, diesel::pg::Pg>,
            ) -> diesel::QueryResult<()> {
                let text: &'static str = $text;
                for piece in $crate::statement::pieces(text) {
                    match piece {
                        $crate::statement::Piece::Text(text) => out.push_sql(text),
                        $crate::statement::Piece::Bind(name) => match name {
                            $(stringify!($field) => out.push_bind_param::<$sql, _>(&self.$field)?,)*
                            unknown => return Err(diesel::result::Error::QueryBuilderError(
                                format!("no bind named {unknown}").into(),
                            )),
                        },
                    }
                }
                Ok(())
            }
        }
    };
}
pub(crate) use statement;

/// A part of a statement's text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(&'static str),
    Bind(&'static str),
}

/// Splits a statement's text at its `{name}` binds. Braces around anything but a lower-case name are text, so JSON paths
/// such as `'{}'` need no escape.
pub(crate) fn pieces(text: &'static str) -> impl Iterator<Item = Piece> {
    let mut rest = text;
    let mut bind = None;
    std::iter::from_fn(move || {
        if let Some(name) = bind.take() {
            return Some(Piece::Bind(name));
        }
        if rest.is_empty() {
            return None;
        }
        let mut from = 0;
        while let Some(open) = rest[from..].find('{').map(|at| at + from) {
            if let Some(length) = rest[open..].find('}') {
                let name = &rest[open + 1..open + length];
                if !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
                    let before = &rest[..open];
                    rest = &rest[open + length + 1..];
                    bind = Some(name);
                    return Some(Piece::Text(before));
                }
            }
            from = open + 1;
        }
        let last = rest;
        rest = "";
        Some(Piece::Text(last))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_found_and_other_braces_are_text() {
        let found: Vec<_> = pieces("SELECT {ids}, h #>> '{}' FROM x WHERE a = {a_b} AND {ids}").collect();
        assert_eq!(
            found,
            [
                Piece::Text("SELECT "),
                Piece::Bind("ids"),
                Piece::Text(", h #>> '{}' FROM x WHERE a = "),
                Piece::Bind("a_b"),
                Piece::Text(" AND "),
                Piece::Bind("ids"),
            ]
        );
        assert_eq!(pieces("no binds").collect::<Vec<_>>(), [Piece::Text("no binds")]);
    }
}
