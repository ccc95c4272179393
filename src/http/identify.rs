//! Who calls an operator's address is looked up before anything else of the request is read: who may not call learns nothing about ids and
//! fields, and no long body is read for strangers.

use std::rc::Rc;

use actix_web::dev::{Service, ServiceRequest, ServiceResponse, forward_ready};
use actix_web::{Error, HttpMessage};
use futures_util::future::LocalBoxFuture;

use super::caller::{self, Known};

/// What routes answer with.
pub type Answer = LocalBoxFuture<'static, Result<ServiceResponse, Error>>;

/// The step between the envelope and the routes. All other requests pass through as they are.
#[derive(Debug)]
pub struct Identifying<S> {
    inner: Rc<S>,
}

impl<S> Identifying<S> {
    /// Before these routes.
    pub fn new(inner: S) -> Self {
        Self { inner: Rc::new(inner) }
    }
}

impl<S> Service<ServiceRequest> for Identifying<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error, Future = Answer> + 'static,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Future = Answer;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        if !caller::is_at_desk(request.request()) {
            return self.inner.call(request);
        }
        let inner = Rc::clone(&self.inner);
        Box::pin(async move {
            let found = match caller::app(request.request()) {
                Ok(app) => caller::operator_key(&app, caller::bearer(request.request())).await,
                Err(problem) => Err(problem),
            };
            request.extensions_mut().insert(Known(found));
            inner.call(request).await
        })
    }
}
