//! The routes: which path does what. Each route is one file here and nothing in any stack.

mod cache;
mod hold;

use crate::{
    answer::Answer,
    store::{AsyncStore, Store},
};

pub use hold::HOLD;

/// Which kind of store client a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The blocking client: `/myapp/sync/…`.
    Sync,
    /// An asynchronous client: `/myapp/async/…`.
    Async,
}

/// What a request leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// An answer that needs no store.
    Answer(Answer),
    /// An operation by the store client of this mode.
    Store(Mode, Operation),
}

/// What a store client is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `cache_hit`: one `GET`.
    CacheHit,
    /// `cache_set`: one `SET`.
    CacheSet,
    /// `hold`: waits for [`HOLD`] where a command would wait for its reply, and asks no store.
    Hold,
}

impl Route {
    /// Every path that is known, for frameworks that want to be told and not to ask.
    pub const PATHS: [&str; 7] = [
        "/check",
        "/myapp/sync/cache_hit",
        "/myapp/sync/cache_set",
        "/myapp/sync/hold",
        "/myapp/async/cache_hit",
        "/myapp/async/cache_set",
        "/myapp/async/hold",
    ];

    /// Finds the route of a request. `path` may carry a query string, which is ignored.
    #[must_use]
    pub fn resolve(method: &str, path: &str) -> Self {
        let path = path.split_once('?').map_or(path, |(path, _query)| path);
        let Some(route) = Self::of_path(path) else { return Self::Answer(Answer::NO_SUCH_PATH) };
        match method {
            // A HEAD does what the GET would, so that its headers are true.
            "GET" | "HEAD" => route,
            _ => Self::Answer(Answer::METHOD_NOT_ALLOWED),
        }
    }

    fn of_path(path: &str) -> Option<Self> {
        if path == "/check" {
            return Some(Self::Answer(Answer::OK));
        }
        let (mode, name) = path.strip_prefix("/myapp/")?.split_once('/')?;
        let mode = match mode {
            "sync" => Mode::Sync,
            "async" => Mode::Async,
            _ => return None,
        };
        let operation = match name {
            "cache_hit" => Operation::CacheHit,
            "cache_set" => Operation::CacheSet,
            "hold" => Operation::Hold,
            _ => return None,
        };
        Some(Self::Store(mode, operation))
    }
}

impl Operation {
    /// Does it, waiting in place.
    pub fn run<S: Store>(self, store: &mut S) -> Answer {
        match self {
            Self::CacheHit => cache::hit(store),
            Self::CacheSet => cache::set(store),
            Self::Hold => hold::hold(store),
        }
    }

    /// Does it as a future.
    pub async fn run_async<S: AsyncStore>(self, store: &S) -> Answer {
        match self {
            Self::CacheHit => cache::hit_async(store).await,
            Self::CacheSet => cache::set_async(store).await,
            Self::Hold => hold::hold_async(store).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_path_has_its_route() {
        use {Mode::*, Operation::*};
        assert_eq!(Route::resolve("GET", "/check"), Route::Answer(Answer::OK));
        for path in Route::PATHS {
            assert_ne!(Route::resolve("GET", path), Route::Answer(Answer::NO_SUCH_PATH), "{path}");
        }
        for (path, mode, operation) in [
            ("/myapp/sync/cache_hit", Sync, CacheHit),
            ("/myapp/sync/cache_set", Sync, CacheSet),
            ("/myapp/sync/hold", Sync, Hold),
            ("/myapp/async/cache_hit", Async, CacheHit),
            ("/myapp/async/cache_set", Async, CacheSet),
            ("/myapp/async/hold", Async, Hold),
        ] {
            assert_eq!(Route::resolve("GET", path), Route::Store(mode, operation));
            assert_eq!(Route::resolve("HEAD", &format!("{path}?a=b?c")), Route::Store(mode, operation));
            assert_eq!(Route::resolve("POST", path), Route::Answer(Answer::METHOD_NOT_ALLOWED));
        }
    }

    #[test]
    fn anything_else_is_not_found_whatever_the_method() {
        for path in
            ["", "/", "*", "/check/", "/myapp", "/myapp/sync", "/myapp/sync/", "/myapp/Sync/cache_hit", "/%63heck"]
        {
            for method in ["GET", "POST"] {
                assert_eq!(Route::resolve(method, path), Route::Answer(Answer::NO_SUCH_PATH), "{path}");
            }
        }
    }
}
