//! The routes, as they are registered: so that it is known which there are.

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, Route, guard};

use crate::error::ApiError;

/// Takes routes and remembers them.
pub struct Routes<'c> {
    config: &'c mut ServiceConfig,
    registered: Vec<(Method, String)>,
}

impl<'c> Routes<'c> {
    pub fn new(config: &'c mut ServiceConfig) -> Routes<'c> {
        Routes { config, registered: Vec::new() }
    }

    /// Registers what a path has.
    pub fn add(&mut self, place: Place) {
        let Place { path, resource, methods } = place;
        self.registered.extend(methods.into_iter().map(|method| (method, path.clone())));
        self.config.service(resource);
    }

    /// What has been registered, with paths that do not end with a slash.
    #[must_use]
    pub fn done(self) -> Vec<(Method, String)> {
        self.registered
    }
}

/// A path, with or without a slash at its end, and what it has. Other methods do not exist there.
pub struct Place {
    path: String,
    resource: Resource,
    methods: Vec<Method>,
}

impl Place {
    #[must_use]
    pub fn at(path: &str) -> Place {
        let resource = web::resource(vec![path.to_owned(), format!("{path}/")]);
        Place { path: path.to_owned(), resource: resource.default_service(web::to(nothing)), methods: Vec::new() }
    }

    /// `GET`, and `HEAD`.
    #[must_use]
    pub fn get<F, Args>(self, handler: F) -> Place
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.with(Method::GET, web::route().guard(guard::Any(guard::Get()).or(guard::Head())), handler)
    }

    #[must_use]
    pub fn post<F, Args>(self, handler: F) -> Place
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.with(Method::POST, web::post(), handler)
    }

    #[must_use]
    pub fn put<F, Args>(self, handler: F) -> Place
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.with(Method::PUT, web::put(), handler)
    }

    #[must_use]
    pub fn delete<F, Args>(self, handler: F) -> Place
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.with(Method::DELETE, web::delete(), handler)
    }

    fn with<F, Args>(mut self, method: Method, route: Route, handler: F) -> Place
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.push(method);
        self.resource = self.resource.route(route.to(handler));
        self
    }
}

/// The answer of a place that does not exist.
///
/// # Errors
/// Always.
pub async fn nothing(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(ApiError::not_found(&request))
}
