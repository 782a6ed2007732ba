//! The trace that a message belongs to: two fields of it, or else two headers of the request that stores it.

use actix_web::http::header::HeaderMap;
use posthaste_core::trace;
use posthaste_store::message::NewMessage;
use serde_json::value::RawValue;

use super::value::{given, invalid, string};
use crate::error::ApiError;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// A request's trace context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    parent: String,
    state: Option<String>,
}

impl Trace {
    /// What a request's headers say. Tracing must not make a request fail: what is malformed counts as nothing, as the
    /// specification asks.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Trace> {
        let mut parents = headers.get_all(PARENT);
        let first = parents.next().filter(|_| parents.next().is_none())?;
        let parent = trace::parent(first.to_str().ok()?).ok()?;
        // Several headers are one list.
        let states: Result<Vec<&str>, _> = headers.get_all(STATE).map(|value| value.to_str()).collect();
        let state = states.ok().map(|states| states.join(",")).filter(|state| trace::check_state(state).is_ok());
        Some(Trace { parent, state })
    }

    /// Its `traceparent`, in version 00.
    #[must_use]
    pub fn parent(&self) -> &str {
        &self.parent
    }

    /// Gives a message this trace, unless it has one of its own.
    pub fn apply(&self, message: &mut NewMessage) {
        let sending = &mut message.sending;
        if sending.traceparent.is_none() {
            sending.traceparent = Some(self.parent.clone());
            sending.tracestate.clone_from(&self.state);
        }
    }
}

/// The field `traceparent`.
///
/// # Errors
/// It is none.
pub fn parent(value: Option<&RawValue>) -> Result<Option<String>, ApiError> {
    let parse = |value| trace::parent(&string(PARENT, value)?).map_err(|problem| invalid(PARENT, problem));
    given(value).map(parse).transpose()
}

/// The field `tracestate`.
///
/// # Errors
/// It is none.
pub fn state(value: Option<&RawValue>) -> Result<Option<String>, ApiError> {
    let parse = |value| {
        let text = string(STATE, value)?;
        trace::check_state(&text).map_err(|problem| invalid(STATE, problem))?;
        Ok(text)
    };
    given(value).map(parse).transpose()
}

/// Makes sure that there is no state without its trace.
///
/// # Errors
/// There is.
pub fn check(parent: Option<&String>, state: Option<&String>) -> Result<(), ApiError> {
    match (parent, state) {
        (None, Some(_)) => Err(invalid(STATE, "takes a traceparent beside it")),
        (Some(_), _) | (None, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use posthaste_core::ids::QueueId;

    use super::*;

    const A: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const B: &str = "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00";

    fn of(headers: &[(&'static str, &str)]) -> Option<(String, Option<String>)> {
        let append = |request: TestRequest, header: &(&'static str, &str)| request.append_header(*header);
        let request = headers.iter().fold(TestRequest::default(), append).to_http_request();
        Trace::of(request.headers()).map(|trace| (trace.parent, trace.state))
    }

    #[test]
    fn headers_that_say_nothing_count_as_none() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(STATE, "a=b")]), None);
        assert_eq!(of(&[(PARENT, "x"), (STATE, "a=b")]), None);
        assert_eq!(of(&[(PARENT, A), (PARENT, B)]), None);
        assert_eq!(of(&[(PARENT, A)]), Some((A.to_owned(), None)));
        assert_eq!(of(&[(PARENT, A), (STATE, "no")]), Some((A.to_owned(), None)));
        assert_eq!(
            of(&[(PARENT, A), (STATE, "a=b"), (STATE, "c=d")]),
            Some((A.to_owned(), Some("a=b,c=d".to_owned())))
        );
    }

    #[test]
    fn a_message_keeps_a_trace_of_its_own() {
        let trace = Trace { parent: A.to_owned(), state: Some("a=b".to_owned()) };
        let mut message = NewMessage::to(QueueId(1));
        trace.apply(&mut message);
        assert_eq!(
            (message.sending.traceparent.as_deref(), message.sending.tracestate.as_deref()),
            (Some(A), Some("a=b"))
        );
        let mut message = NewMessage::to(QueueId(1));
        message.sending.traceparent = Some(B.to_owned());
        trace.apply(&mut message);
        assert_eq!((message.sending.traceparent.as_deref(), message.sending.tracestate.as_deref()), (Some(B), None));
    }
}
