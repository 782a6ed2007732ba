//! One operation of the document, put together.

use serde_json::Value;
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, Parameter};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{ContentBuilder, Required, Response, SecurityRequirement};

use super::answers::{self, JSON};
use super::parameters;
use super::schemas::{AnySchema, named};
use crate::error::ApiError;

/// An operation and where it is.
pub struct Described {
    pub method: HttpMethod,
    pub path: String,
    pub operation: Operation,
}

/// An operation that is being described.
pub struct Describing {
    method: HttpMethod,
    path: String,
    builder: OperationBuilder,
    errors: Vec<ApiError>,
    /// In the place of errors of the same status.
    others: Vec<(String, Response)>,
}

/// Begins one that needs credentials. Its operation id is made of its method and path.
pub fn guarded(method: HttpMethod, path: &str, tag: &str, summary: &str) -> Describing {
    let describing = open(method, path, tag, summary);
    describing.errors(answers::of_everybody())
}

/// Begins one that needs no credentials.
pub fn open(method: HttpMethod, path: &str, tag: &str, summary: &str) -> Describing {
    let verb = match method {
        // `listQueues`, but `getQueuesId`.
        HttpMethod::Get if path.trim_start_matches('/') == tag => "list",
        HttpMethod::Get => "get",
        HttpMethod::Post => "post",
        HttpMethod::Put => "put",
        HttpMethod::Delete => "delete",
        HttpMethod::Options => "options",
        HttpMethod::Head => "head",
        HttpMethod::Patch => "patch",
        HttpMethod::Trace => "trace",
    };
    let words = path.split(['/', '{', '}', '-', '_']).filter(|word| !word.is_empty());
    let name = words.fold(verb.to_owned(), |name, word| {
        let (first, rest) = word.split_at(1);
        format!("{name}{}{rest}", first.to_ascii_uppercase())
    });
    let builder = OperationBuilder::new().tag(tag).summary(Some(summary)).operation_id(Some(name));
    let describing =
        Describing { method, path: path.to_owned(), builder, errors: answers::of_any_request(), others: Vec::new() };
    if path.contains("{id}") {
        describing.parameter(parameters::id()).error(answers::not_found(path))
    } else {
        describing
    }
}

impl Describing {
    pub fn description(mut self, text: &str) -> Describing {
        self.builder = self.builder.description(Some(text));
        self
    }

    pub fn parameter(mut self, parameter: Parameter) -> Describing {
        self.builder = self.builder.parameter(parameter);
        self
    }

    pub fn parameters(self, parameters: impl IntoIterator<Item = Parameter>) -> Describing {
        parameters.into_iter().fold(self, Describing::parameter)
    }

    /// Takes a body of JSON with this schema.
    pub fn body(self, schema: &str, example: Value) -> Describing {
        self.body_of(&[JSON], named(schema), Some(example), Required::True).errors(answers::of_bodies())
    }

    /// Takes a body, of any of these content types.
    pub fn body_of(
        mut self,
        kinds: &[&str],
        schema: AnySchema,
        example: Option<Value>,
        required: Required,
    ) -> Describing {
        let content = ContentBuilder::new().schema(Some(schema)).example(example).build();
        let body = RequestBodyBuilder::new().required(Some(required));
        let body = kinds.iter().fold(body, |body, kind| body.content(*kind, content.clone()));
        self.builder = self.builder.request_body(Some(body.build()));
        self
    }

    /// What a success is answered with, and the headers that it may have.
    pub fn answer(mut self, description: &str, schema: AnySchema, headers: &[&str]) -> Describing {
        self.builder = self.builder.response("200", answers::success(description, schema, headers));
        self
    }

    /// What a success is answered with, in plain text.
    pub fn text(mut self, description: &str, headers: &[&str]) -> Describing {
        self.builder = self.builder.response("200", answers::text(description, headers));
        self
    }

    /// Another answer that is no error of the usual shape.
    pub fn other_answer(mut self, status: &str, description: &str, schema: AnySchema) -> Describing {
        self.others.push((status.to_owned(), answers::success(description, schema, &[])));
        self
    }

    pub fn error(mut self, error: ApiError) -> Describing {
        self.errors.push(error);
        self
    }

    pub fn errors(mut self, errors: impl IntoIterator<Item = ApiError>) -> Describing {
        self.errors.extend(errors);
        self
    }

    /// Everybody may do it.
    pub fn without_credentials(mut self) -> Describing {
        self.builder = self.builder.securities(Some([SecurityRequirement::default()]));
        self
    }

    pub fn done(self) -> Described {
        let all = answers::errors(&self.errors).into_iter().chain(self.others);
        let builder = all.fold(self.builder, |builder, (status, answer)| builder.response(status, answer));
        Described { method: self.method, path: self.path, operation: builder.build() }
    }
}
