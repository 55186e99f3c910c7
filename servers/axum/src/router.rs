//! The contract as axum's router: a handler per route, an extractor for what comes before any answer, fallbacks for
//! what has no route.

use axum::{
    Router,
    body::Body,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
    routing::get,
};
use stack_contract::{Answer, Mode, Route};
use stack_hyper_service::{Stores, admit, last_response, response};
use stack_redis_store::{BridgedStore, MultiplexedStore, Tokio};

/// The stores of this stack.
pub type AxumStores = Stores<BridgedStore<Tokio>, MultiplexedStore<Tokio>>;

/// Every route of the contract.
pub fn router(stores: &'static AxumStores) -> Router {
    let mut router = Router::new();
    for path in Route::PATHS {
        let route = Route::resolve("GET", path);
        router = router.route(path, get(async move |Admitted: Admitted| handle(stores, route).await));
    }
    router
        .fallback(async |Admitted: Admitted| Answered(Answer::NO_SUCH_PATH))
        .method_not_allowed_fallback(async |Admitted: Admitted| Answered(Answer::METHOD_NOT_ALLOWED))
}

async fn handle(stores: &AxumStores, route: Route) -> Answered {
    Answered(match route {
        Route::Answer(answer) => answer,
        Route::Store(Mode::Sync, operation) => operation.run_async(&stores.sync).await,
        Route::Store(Mode::Async, operation) => operation.run_async(&stores.asynchronous).await,
    })
}

/// A request with a sound head, whose body was read and thrown away.
struct Admitted;

/// Why a request is not answered, nor anything after it on this connection.
struct Refused(Answer);

/// An answer of the contract.
struct Answered(Answer);

impl<S: Sync> FromRequest<S> for Admitted {
    type Rejection = Refused;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refused> {
        let (head, body) = request.into_parts();
        admit(&head, body).await.map(|()| Self).map_err(Refused)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        last_response(self.0).map(Body::new)
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        response(self.0).map(Body::new)
    }
}
