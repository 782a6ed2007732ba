//! What comes in the path and the query string.
//!
//! A parameter that a route does not have is an error: ignored, a mistyped filter would return, change or delete
//! everything. Nothing here is an extractor, so that a handler looks at what was asked only once it knows who asks.

use std::collections::BTreeSet;

use actix_web::HttpRequest;
use actix_web::web::Query;
use posthaste_core::entity::Field;
use posthaste_core::filter::{Direction, Filter};
use posthaste_core::listing::{Listing, Order, Side};

use super::conditions::{self, boolean, integer};
use super::cursor;
use crate::error::ApiError;

/// The most rows of a list.
pub const LARGEST_LIMIT: i64 = 100;
/// The rows of a list that does not say.
pub const DEFAULT_LIMIT: i64 = 10;

/// The parameters of a request that nobody has taken yet, in their order.
#[derive(Debug)]
pub struct Parameters(Vec<(String, String)>);

/// What a list is asked for.
#[derive(Debug, PartialEq)]
pub struct Asked<F> {
    pub listing: Listing<F>,
    /// What to show of each row; `None`: everything.
    pub fields: Option<Vec<F>>,
    pub total_count: bool,
    /// Whether to tell where the list begins and ends.
    pub cursors: bool,
}

impl Parameters {
    /// Those of a request.
    ///
    /// # Errors
    /// They are no `name=value` pairs.
    pub fn of(request: &HttpRequest) -> Result<Parameters, ApiError> {
        Parameters::parse(request.query_string())
    }

    /// Those of a query string.
    ///
    /// # Errors
    /// As [`Parameters::of`].
    pub fn parse(query: &str) -> Result<Parameters, ApiError> {
        if query.is_empty() {
            return Ok(Parameters(Vec::new()));
        }
        let malformed = |_| ApiError::Validation("querystring must be name=value pairs".to_owned());
        Ok(Parameters(Query::<Vec<(String, String)>>::from_query(query).map_err(malformed)?.into_inner()))
    }

    /// Makes sure that nothing is left.
    ///
    /// # Errors
    /// The first parameter that nobody has taken.
    pub fn finish(self) -> Result<(), ApiError> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(ApiError::UnknownParameter(name.chars().take(100).collect())),
        }
    }

    /// Takes every parameter of this name.
    pub fn all(&mut self, name: &str) -> Vec<String> {
        let taken: Vec<(String, String)> = self.0.extract_if(.., |(given, _)| given == name).collect();
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// Takes a parameter; of several the last counts.
    pub fn one(&mut self, name: &str) -> Option<String> {
        self.all(name).pop()
    }

    /// Takes a flag, which is false unless it is said to be true.
    ///
    /// # Errors
    /// It is something else than `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        self.one(name).map_or(Ok(false), |value| boolean(name, &value))
    }

    /// Takes `fields`: which to show, in the entity's order. `None` is all of them.
    ///
    /// # Errors
    /// A name that is none of the entity's.
    pub fn fields<F: Field>(&mut self) -> Result<Option<Vec<F>>, ApiError> {
        let given = self.all("fields");
        if given.is_empty() {
            return Ok(None);
        }
        let names = given.iter().flat_map(|list| list.split(',')).map(str::trim);
        let mut chosen = BTreeSet::new();
        for (index, name) in names.enumerate() {
            let wrong = || {
                ApiError::Validation(format!("querystring/fields/{index} must be equal to one of the allowed values"))
            };
            chosen.insert(F::from_name(name).ok_or_else(wrong)?);
        }
        Ok(Some(F::ALL.iter().copied().filter(|field| chosen.contains(field)).collect()))
    }

    /// Takes every condition; `None` if there is none.
    ///
    /// # Errors
    /// As [`conditions::add`].
    pub fn filter<F: Field>(&mut self) -> Result<Option<Filter<F>>, ApiError> {
        let given: Vec<(String, String)> = self.0.extract_if(.., |(name, _)| name.starts_with("where.")).collect();
        if given.is_empty() {
            return Ok(None);
        }
        let mut filter = Filter::default();
        for (name, value) in given {
            conditions::add(&mut filter, name.trim_start_matches("where."), &value)?;
        }
        Ok(Some(filter))
    }

    fn order<F: Field>(&mut self) -> Result<Vec<Order<F>>, ApiError> {
        let mut order: Vec<Order<F>> = Vec::new();
        let given: Vec<(String, String)> = self.0.extract_if(.., |(name, _)| name.starts_with("orderby.")).collect();
        for (name, value) in given {
            let field = F::from_name(name.trim_start_matches("orderby.")).filter(|field| field.is_comparable());
            let field = field.ok_or_else(|| ApiError::UnknownParameter(name.chars().take(100).collect()))?;
            let direction = match value.as_str() {
                "asc" => Direction::Ascending,
                "desc" => Direction::Descending,
                _ => {
                    let problem = format!("querystring/{name} must be equal to one of the allowed values");
                    return Err(ApiError::Validation(problem));
                }
            };
            if order.iter().any(|order| order.field == field) {
                return Err(ApiError::Validation(format!("querystring/{name} must be given once")));
            }
            order.push(Order { field, direction });
        }
        Ok(order)
    }

    /// `limit` and `offset` of a list.
    ///
    /// # Errors
    /// One is no whole number, or out of its bounds.
    pub fn page(&mut self) -> Result<(i64, i64), ApiError> {
        let limit = self.one("limit").map_or(Ok(DEFAULT_LIMIT), |value| integer("limit", &value))?;
        let offset = self.one("offset").map_or(Ok(0), |value| integer("offset", &value))?;
        if limit < 0 {
            Err(ApiError::LimitNegative(limit))
        } else if limit > LARGEST_LIMIT {
            Err(ApiError::LimitTooLarge(limit))
        } else if offset < 0 {
            Err(ApiError::OffsetNegative(offset))
        } else {
            Ok((limit, offset))
        }
    }

    /// Everything that a list can be asked for.
    ///
    /// # Errors
    /// The first fault, or a parameter that lists do not have.
    pub fn list<F: Field>(mut self) -> Result<Asked<F>, ApiError> {
        let (limit, offset) = self.page()?;
        let fields = self.fields()?;
        let total_count = self.flag("totalCount")?;
        let filter = self.filter()?.unwrap_or_default();
        let order: Vec<Order<F>> = self.order()?;
        let (after, before) = (self.one("startAfter"), self.one("endBefore"));
        let cursors = self.flag("cursor")? || after.is_some() || before.is_some();
        self.finish()?;
        if cursors && !order.iter().any(|order| Field::name(order.field) == "id") {
            return Err(ApiError::CursorWithoutId);
        }
        let cursor = match (after, before) {
            (Some(_), Some(_)) => {
                let problem = "querystring/startAfter and querystring/endBefore exclude each other";
                return Err(ApiError::Validation(problem.to_owned()));
            }
            (Some(place), None) => Some(cursor::decode("startAfter", &place, &order, Side::After)?),
            (None, Some(place)) => Some(cursor::decode("endBefore", &place, &order, Side::Before)?),
            (None, None) => None,
        };
        Ok(Asked {
            listing: Listing { filter, order, limit, offset, cursor, bodies: true },
            fields,
            total_count,
            cursors,
        })
    }
}

/// The `{id}` of a request's path.
///
/// # Errors
/// It is no whole number; or it is one that no id can be, so there is nothing there.
pub fn path_id(request: &HttpRequest) -> Result<i64, ApiError> {
    path_number(request, "id")
}

/// Another id in a request's path.
///
/// # Errors
/// As [`path_id`].
pub fn path_number(request: &HttpRequest, name: &str) -> Result<i64, ApiError> {
    let id = request.match_info().get(name).unwrap_or_default();
    parse_id(name, id).map_err(|error| error.unwrap_or_else(|| ApiError::not_found(request)))
}

/// An error, or `None` for a whole number that no id can be.
fn parse_id(name: &str, text: &str) -> Result<i64, Option<ApiError>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Some(ApiError::Validation(format!("params/{name} must be integer"))));
    }
    text.parse().map_err(|_| None)
}

#[cfg(test)]
mod tests {
    use posthaste_core::entity::{MessageField, QueueField};

    use super::*;

    fn list(query: &str) -> Result<Asked<MessageField>, ApiError> {
        Parameters::parse(query)?.list()
    }

    fn problem(query: &str) -> String {
        list(query).unwrap_err().to_string()
    }

    #[test]
    fn pages_are_bounded() {
        let page = |query: &str| list(query).map(|asked| (asked.listing.limit, asked.listing.offset));
        assert_eq!(page(""), Ok((10, 0)));
        assert_eq!(page("limit=0&offset=7"), Ok((0, 7)));
        assert_eq!(page("limit=100"), Ok((100, 0)));
        assert_eq!(problem("limit=101"), "Param limit=101 not allowed. Max accepted value 100.");
        assert_eq!(problem("limit=-1"), "Param limit=-1 not allowed. It must not be negative.");
        assert_eq!(problem("offset=-1"), "Param offset=-1 not allowed. It must not be negative.");
        for query in ["limit=x", "limit=", "limit=1.5", "limit=%2B1", "limit"] {
            assert_eq!(problem(query), "querystring/limit must be integer", "{query}");
        }
    }

    #[test]
    fn unknown_parameters_are_named() {
        assert_eq!(problem("limits=5"), "querystring has no parameter 'limits' here");
        assert_eq!(problem("orderby.headers=asc"), "querystring has no parameter 'orderby.headers' here");
        let rest = Parameters::parse("where.id.eq=5").unwrap().finish();
        assert_eq!(rest.unwrap_err().to_string(), "querystring has no parameter 'where.id.eq' here");
    }

    #[test]
    fn flags_are_said_plainly() {
        assert!(!list("").unwrap().total_count && list("totalCount=true").unwrap().total_count);
        assert!(!list("totalCount=false").unwrap().total_count);
        assert_eq!(problem("totalCount=1"), "querystring/totalCount must be boolean");
    }

    #[test]
    fn fields_come_in_the_order_of_the_entity() {
        let fields = |query: &str| Parameters::parse(query).unwrap().fields::<QueueField>();
        assert_eq!(fields(""), Ok(None));
        assert_eq!(fields("fields=method,id&fields=id"), Ok(Some(vec![QueueField::Id, QueueField::Method])));
        assert_eq!(
            fields("fields=id,nam").unwrap_err().to_string(),
            "querystring/fields/1 must be equal to one of the allowed values"
        );
    }

    #[test]
    fn the_order_is_that_of_the_parameters() {
        let order = list("orderby.sentAt=desc&orderby.id=asc").unwrap().listing.order;
        let expected = [
            Order { field: MessageField::SentAt, direction: Direction::Descending },
            Order { field: MessageField::Id, direction: Direction::Ascending },
        ];
        assert_eq!(order, expected);
        assert_eq!(problem("orderby.id=ASC"), "querystring/orderby.id must be equal to one of the allowed values");
        assert_eq!(problem("orderby.id=asc&orderby.id=desc"), "querystring/orderby.id must be given once");
    }

    #[test]
    fn a_cursor_needs_an_order_with_the_id() {
        assert_eq!(list("cursor=true&orderby.when=asc"), Err(ApiError::CursorWithoutId));
        assert!(list("cursor=true&orderby.when=asc&orderby.id=desc").unwrap().cursors);
        let asked = list("orderby.id=asc&startAfter=eyJpZCI6Mn0=").unwrap();
        assert_eq!(asked.listing.cursor.map(|cursor| cursor.side), Some(Side::After));
        assert!(problem("orderby.id=asc&startAfter=eyJpZCI6Mn0=&endBefore=eyJpZCI6Mn0=").contains("exclude"));
    }

    #[test]
    fn ids_are_whole_numbers() {
        assert_eq!(parse_id("id", "9223372036854775807"), Ok(i64::MAX));
        assert_eq!(parse_id("id", "-1"), Ok(-1));
        assert_eq!(parse_id("id", "9223372036854775808"), Err(None));
        for text in ["abc", "1.5", "", "-", "+1", "1x", "٣"] {
            assert!(matches!(parse_id("id", text), Err(Some(_))), "{text}");
        }
    }
}
