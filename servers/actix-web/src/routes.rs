//! The contract as actix-web's resources.

use std::sync::Arc;

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
    web,
};
use stack_contract::{Answer, Mode, Route, Shutdown, answer};
use stack_redis_store::{BridgedStore, MultiplexedStore, Target, Tokio, TokioThreads};

use crate::admit::Admitted;

/// What the handlers of one worker use.
pub struct Stores {
    sync: BridgedStore<TokioThreads>,
    asynchronous: MultiplexedStore<Tokio>,
    shutdown: Arc<Shutdown>,
}

impl Stores {
    /// For the worker this is called in.
    pub async fn connect(sync: BridgedStore<TokioThreads>, target: &Target, shutdown: Arc<Shutdown>) -> Self {
        Self { sync, asynchronous: MultiplexedStore::connect(target, 1).await, shutdown }
    }

    async fn handle(&self, route: Route) -> HttpResponse {
        self.response(match route {
            Route::Answer(answer) => answer,
            Route::Store(Mode::Sync, operation) => operation.run_async(&self.sync).await,
            Route::Store(Mode::Async, operation) => operation.run_async(&self.asynchronous).await,
        })
    }

    /// An answer of the contract, and the connection's last if the server is to stop.
    fn response(&self, answer: Answer) -> HttpResponse {
        if self.shutdown.requested() { last_response(answer) } else { response(answer) }
    }
}

/// Every route of the contract, and what answers where there is none.
pub fn all(config: &mut web::ServiceConfig) {
    for path in Route::PATHS {
        let route = Route::resolve("GET", path);
        let handler = move |_: Admitted, stores: web::Data<Stores>| async move { stores.handle(route).await };
        let other = async |_: Admitted, stores: web::Data<Stores>| stores.response(Answer::METHOD_NOT_ALLOWED);
        config.service(
            web::resource(path)
                .route(web::get().to(handler))
                .route(web::head().to(handler))
                .default_service(web::to(other)),
        );
    }
    let nowhere = async |_: Admitted, stores: web::Data<Stores>| stores.response(Answer::NO_SUCH_PATH);
    config.default_service(web::to(nowhere));
}

/// An answer of the contract; length, date and persistence are actix's.
fn response(answer: Answer) -> HttpResponse {
    builder(answer).body(answer.body)
}

/// The answer to what we cannot read on from.
pub fn last_response(answer: Answer) -> HttpResponse {
    builder(answer).force_close().body(answer.body)
}

fn builder(answer: Answer) -> HttpResponseBuilder {
    // Cannot fail: all our statuses are within 100..=999.
    let mut builder =
        HttpResponse::build(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    builder.insert_header((header::CONTENT_TYPE, answer::CONTENT_TYPE));
    if let Some(methods) = answer.allow() {
        builder.insert_header((header::ALLOW, methods));
    }
    builder
}
