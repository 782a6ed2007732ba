//! One operation: its caller, its loaders, its limits, and its errors.

use std::sync::{Arc, Mutex, PoisonError};

use actix_web::ResponseError;
use actix_web::web::Data;
use async_graphql::dataloader::DataLoader;
use async_graphql::dynamic::{FieldFuture, FieldValue, ResolverContext};
use async_graphql::futures_util::stream::{self, BoxStream};
use async_graphql::parser::types::OperationType;
use async_graphql::{Context, Error, Executor, Request, Response, ServerError};
use futures_util::StreamExt;

use super::children::Rows;
use super::{document, limits};
use crate::app::App;
use crate::auth::{Caller, Operation};
use crate::error::ApiError;
use crate::memory::Answer;
use crate::ops::{Beside, Resource};

/// Rows that one statement reads for a data loader.
const BATCH: usize = 1_000;

/// What the resolvers of an operation work with.
pub struct Asking {
    pub app: Data<App>,
    pub caller: Caller,
    pub rows: DataLoader<Rows>,
    /// What all its rows take.
    pub answer: Answer,
    /// What the request says about new rows in its headers. A WebSocket's say nothing about single operations.
    pub beside: Beside,
    /// What fields were refused, where the executor does not tell by itself: over WebSocket.
    refusals: Option<Refusals>,
}

type Refusals = Arc<Mutex<Vec<ServerError>>>;

impl Asking {
    fn new(app: Data<App>, caller: Caller, beside: Beside, refusals: Option<Refusals>) -> Asking {
        let answer = Answer::new(&app.memory);
        let rows = Rows { app: app.clone(), caller: caller.clone(), answer: answer.clone() };
        let rows = DataLoader::new(rows, tokio::spawn).max_batch_size(BATCH);
        Asking { app, caller, rows, answer, beside, refusals }
    }

    /// That of a resolver whose caller may find rows of `R`: who may not is not told what else is wrong.
    ///
    /// # Errors
    /// The caller may not.
    pub fn to_find<'a, R: Resource>(context: &ResolverContext<'a>) -> Result<&'a Asking, Error> {
        let asking = Asking::of(context)?;
        asking.caller.grant::<R::Field>(Operation::Find).map_err(refused)?;
        Ok(asking)
    }

    /// That of a resolver.
    ///
    /// # Errors
    /// There is none: a fault of ours.
    pub fn of<'a>(context: &ResolverContext<'a>) -> Result<&'a Asking, Error> {
        context.ctx.data::<Asking>().map_err(|_| refused(ApiError::Internal))
    }
}

/// What a resolver cannot do, with what REST would have answered.
pub fn refused(error: ApiError) -> Error {
    let mut refused = Error::new(error.to_string());
    let extensions = refused.extensions.get_or_insert_default();
    if let Some(code) = error.code() {
        extensions.set("code", code.as_str());
    }
    extensions.set("statusCode", error.status_code().as_u16());
    refused
}

/// The answer of a field. Where it is refused, the field is null and the error says which field it is; dynamic schemas would
/// leave the field out, and its place too.
pub fn answer<'a, T, F>(context: &'a Context<'a>, answer: F) -> FieldFuture<'a>
where
    T: Into<FieldValue<'a>> + Send,
    F: Future<Output = async_graphql::Result<Option<T>>> + Send + 'a,
{
    FieldFuture::new(async move {
        match answer.await {
            Ok(value) => Ok(value.map(Into::into)),
            Err(error) => {
                let error = context.set_error_path(error.into_server_error(context.item.pos));
                match context.data_opt::<Asking>().and_then(|asking| asking.refusals.as_ref()) {
                    Some(refusals) => refusals.lock().unwrap_or_else(PoisonError::into_inner).push(error),
                    None => context.add_error(error),
                }
                Ok(None::<FieldValue<'a>>)
            }
        }
    })
}

/// An operation that may be executed.
pub struct Prepared {
    pub request: Request,
    pub operation: Option<OperationType>,
}

/// Reads an operation and holds it against the limits, before it costs anything.
///
/// # Errors
/// It cannot be read, or asks for too much.
pub fn prepare(mut request: Request) -> Result<Prepared, ServerError> {
    limits::check_text(&request.query)?;
    let mut document = request.parsed_query()?.clone();
    limits::check(&document, &request.variables)?;
    document::flatten_subscriptions(&mut document);
    let operation = document::operation_type(&document, request.operation_name.as_deref());
    request.set_parsed_query(document);
    Ok(Prepared { request, operation })
}

/// Executes a query or mutation; gives the response with the memory that it takes.
pub async fn execute(app: &Data<App>, caller: Caller, beside: Beside, prepared: Prepared) -> (Response, Answer) {
    let asking = Asking::new(app.clone(), caller, beside, None);
    let answer = asking.answer.clone();
    (app.schema.execute(prepared.request.data(asking)).await, answer)
}

/// Executes the operations of a WebSocket, whose caller is in the connection's data.
#[derive(Clone)]
pub struct Operations {
    pub app: Data<App>,
}

impl Executor for Operations {
    async fn execute(&self, _: Request) -> Response {
        Response::from_errors(vec![ServerError::new("Not over this transport.", None)])
    }

    fn execute_stream(
        &self,
        request: Request,
        session: Option<Arc<async_graphql::Data>>,
    ) -> BoxStream<'static, Response> {
        let caller = session.as_ref().and_then(|data| data.get(&std::any::TypeId::of::<Caller>()));
        let Some(caller) = caller.and_then(|caller| caller.downcast_ref::<Caller>()).cloned() else {
            return failed(ServerError::new(ApiError::Internal.to_string(), None));
        };
        match prepare(request) {
            Ok(prepared) => {
                let refusals = Refusals::default();
                let asking = Asking::new(self.app.clone(), caller, Beside::default(), Some(Arc::clone(&refusals)));
                let request = prepared.request.data(asking);
                let responses = self.app.schema.execute_stream_with_session_data(request, session.unwrap_or_default());
                let with_refusals = move |mut response: Response| {
                    response.errors.append(&mut refusals.lock().unwrap_or_else(PoisonError::into_inner));
                    response
                };
                responses.map(with_refusals).boxed()
            }
            Err(error) => failed(error),
        }
    }
}

fn failed(error: ServerError) -> BoxStream<'static, Response> {
    stream::once(async move { Response::from_errors(vec![error]) }).boxed()
}
