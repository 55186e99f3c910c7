//! The contract as actix-web's resources.

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
    web,
};
use stack_contract::{Answer, Mode, Route, answer};
use stack_redis_store::{BridgedStore, MultiplexedStore, Target, Tokio};

use crate::admit::Admitted;

/// The stores of one worker.
pub struct Stores {
    /// On the worker's blocking threads, as `web::block` does it: both are tokio's `spawn_blocking`.
    sync: BridgedStore<Tokio>,
    asynchronous: MultiplexedStore,
}

impl Stores {
    /// For the worker this is called in.
    pub async fn connect(target: Target) -> Self {
        let asynchronous = MultiplexedStore::connect(&target, 1).await;
        Self { sync: BridgedStore::new(Tokio, target), asynchronous }
    }
}

/// Every route of the contract, and what answers where there is none.
pub fn all(config: &mut web::ServiceConfig) {
    for path in Route::PATHS {
        let route = Route::resolve("GET", path);
        let handler = move |_: Admitted, stores: web::Data<Stores>| async move { handle(&stores, route).await };
        config.service(
            web::resource(path)
                .route(web::get().to(handler))
                .route(web::head().to(handler))
                .default_service(web::to(async |_: Admitted| response(Answer::METHOD_NOT_ALLOWED))),
        );
    }
    config.default_service(web::to(async |_: Admitted| response(Answer::NO_SUCH_PATH)));
}

async fn handle(stores: &Stores, route: Route) -> HttpResponse {
    response(match route {
        Route::Answer(answer) => answer,
        Route::Store(Mode::Sync, operation) => operation.run_async(&stores.sync).await,
        Route::Store(Mode::Async, operation) => operation.run_async(&stores.asynchronous).await,
    })
}

/// An answer of the contract; length, date and persistence are actix's.
pub fn response(answer: Answer) -> HttpResponse {
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
