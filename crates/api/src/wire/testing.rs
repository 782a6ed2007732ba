//! Test deliveries in JSON.

use posthaste_store::attempt::Attempt;
use serde::Serialize;

use super::attempt::AttemptView;
use super::fields::Fields;
use super::message::body_of;
use super::value::headers;
use crate::error::ApiError;
use crate::ops::testing::Asked;

/// What came of a test.
#[derive(Debug, Serialize)]
pub struct TestView<'a> {
    delivered: bool,
    #[serde(flatten)]
    attempt: AttemptView<'a>,
}

impl<'a> From<&'a Attempt> for TestView<'a> {
    fn from(attempt: &'a Attempt) -> TestView<'a> {
        TestView { delivered: attempt.error_class.is_none(), attempt: attempt.into() }
    }
}

impl Asked {
    /// Reads and validates a request's body; nothing asks for a sample.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(body: Option<Fields<'_>>) -> Result<Asked, ApiError> {
        let Some(mut fields) = body else { return Ok(Asked::default()) };
        let body = body_of(fields.take("body"), fields.take("bodyBase64"))?;
        let headers = headers(fields.take("headers"))?;
        fields.finish()?;
        Ok(Asked { body, headers })
    }
}
