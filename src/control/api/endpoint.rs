//! Endpoints: where each lies, what serves it, and what describes it.
//!
//! What serves them is made at the start. What describes them takes megabytes, and is made when somebody asks for it.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::routing::MethodRouter;
use utoipa::openapi::OpenApi;
use utoipa_axum::PathItemExt;
use utoipa_axum::router::OpenApiRouter;

use crate::control::SharedState;

/// Endpoints that are judged alike.
#[derive(Default)]
pub(super) struct Endpoints {
    router: Router<SharedState>,
    descriptions: Vec<Describe>,
}

/// Gives the description of one endpoint.
type Describe = fn() -> OpenApiRouter<SharedState>;

/// [`Endpoints`] of handlers, each named with its module.
macro_rules! endpoints {
    ($($module:ident :: $handler:ident),* $(,)?) => {
        utoipa_axum::paste! {
            $crate::control::api::endpoint::Endpoints::default()
                $(.with::<$module::[<__path_ $handler>], _, _>(&$module::$handler, || {
                    utoipa_axum::router::OpenApiRouter::new().routes(utoipa_axum::routes!($module::$handler))
                }))*
        }
    };
}
pub(super) use endpoints;

impl Endpoints {
    /// One more: its path and methods, as it is annotated, its handler, and what describes it.
    pub(super) fn with<P, H, T>(mut self, handler: &H, describe: Describe) -> Self
    where
        P: utoipa::Path,
        H: Handler<T, SharedState>,
        T: 'static,
    {
        let methods = P::methods().into_iter().fold(MethodRouter::new(), |methods, method| {
            methods.on(method.to_method_filter(), handler.clone())
        });
        self.router = self.router.route(&P::path(), methods);
        self.descriptions.push(describe);
        self
    }

    /// These with others.
    pub(super) fn merge(mut self, others: Self) -> Self {
        self.router = self.router.merge(others.router);
        self.descriptions.extend(others.descriptions);
        self
    }

    /// These, whose requests may have bodies of this size.
    pub(super) fn of_body(mut self, limit: DefaultBodyLimit) -> Self {
        self.router = self.router.layer(limit);
        self
    }

    /// What serves them.
    pub(super) fn into_router(self) -> Router<SharedState> {
        self.router
    }

    /// What describes them.
    pub(super) fn openapi(&self) -> OpenApi {
        let all = self.descriptions.iter().fold(OpenApiRouter::new(), |all, describe| all.merge(describe()));
        all.into_openapi()
    }
}
