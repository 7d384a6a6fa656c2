//! The document that describes the interface (`OpenAPI` 3.1): what the routes say of themselves, and what holds for all of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::config::ApiRole;
use crate::control::error::PROBLEM_JSON;
use crate::control::view::{Problem, ProblemKind, ROOT};

/// The document, from the routes that are open, the one for scrapers, those that everybody sees who comes in, and those of an admin.
pub(super) fn document(open: OpenApi, scraped: OpenApi, viewer: OpenApi, admin: OpenApi) -> Value {
    let mut whole = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mailsluice",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The control interface: on DATA_DIR/control.sock, where the relay's user may do everything, \
                and on the address of [console], where a token of [[api_token]] says who one is.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": { format!("{ROOT}/openapi.json"): { "get": own_operation() } },
        "components": {
            "schemas": { "Problem": schema::<Problem>() },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of [[api_token]] in the configuration; on the control socket none is needed.",
                }
            },
        },
    });
    add(&mut whole, open, "", None);
    add(&mut whole, scraped, "", Some(ApiRole::Viewer));
    add(&mut whole, viewer, ROOT, Some(ApiRole::Viewer));
    add(&mut whole, admin, ROOT, Some(ApiRole::Admin));
    whole
}

/// What gives this document.
fn own_operation() -> Value {
    let mut operation = json!({
        "tags": ["relay"],
        "summary": "This document.",
        "responses": {
            "200": {
                "description": "The description of the interface (OpenAPI 3.1)",
                "content": { "application/json": { "schema": { "type": "object" } } },
            }
        },
    });
    complete(&mut operation, "get", &format!("{ROOT}/openapi.json"), Some(ApiRole::Viewer));
    operation
}

fn schema<T: utoipa::PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).expect("a schema is JSON")
}

/// Adds routes below a root, which need a role, or none.
fn add(whole: &mut Value, part: OpenApi, root: &str, role: Option<ApiRole>) {
    let part = serde_json::to_value(part).expect("a description is JSON");
    if let Some(Value::Object(schemas)) = part.pointer("/components/schemas")
        && let Some(Value::Object(all)) = whole.pointer_mut("/components/schemas")
    {
        all.extend(schemas.clone());
    }
    let Some(Value::Object(paths)) = part.get("paths") else { return };
    for (path, operations) in paths {
        let path = format!("{root}{path}");
        let Value::Object(operations) = operations else { continue };
        let Some(all) = whole["paths"].as_object_mut() else { return };
        let known = all.entry(path.clone()).or_insert_with(|| json!({}));
        for (method, operation) in operations {
            let mut operation = operation.clone();
            complete(&mut operation, method, &path, role);
            known[method] = operation;
        }
    }
}

/// Adds what all operations have in common.
fn complete(operation: &mut Value, method: &str, path: &str, role: Option<ApiRole>) {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.fold(method.to_owned(), |name, word| format!("{name}_{word}"));
    operation["operationId"] = name.into();
    if let Some(role) = role {
        // A scope of this kind is a role that is needed (OpenAPI 3.1.0, 4.8.30).
        operation["security"] = json!([{ "token": [role.name()] }]);
    }
    let mut statuses: BTreeMap<u16, Vec<ProblemKind>> = BTreeMap::new();
    for kind in ProblemKind::ALL.into_iter().filter(|kind| may_answer(*kind, operation, method, role)) {
        statuses.entry(kind.status()).or_default().push(kind);
    }
    let said = operation["responses"].as_object().cloned().unwrap_or_default();
    let mut responses = Map::new();
    for (status, kinds) in statuses {
        responses.insert(status.to_string(), problem(&kinds, said.get(&status.to_string())));
    }
    for (status, response) in said {
        let is_error = status.starts_with(['4', '5']);
        let kinds = ProblemKind::ALL.into_iter().filter(|kind| kind.status().to_string() == status);
        let kinds: Vec<_> = kinds.collect();
        let response = if is_error { problem(&kinds, Some(&response)) } else { response };
        responses.insert(status, response);
    }
    operation["responses"] = responses.into();
}

/// Whether an operation may answer so, whatever it says itself.
fn may_answer(kind: ProblemKind, operation: &Value, method: &str, role: Option<ApiRole>) -> bool {
    let body = operation.pointer("/requestBody/content");
    let has_json = body.is_some_and(|body| body.get("application/json").is_some());
    let parameters = operation["parameters"].as_array();
    let has_name = parameters.is_some_and(|all| all.iter().any(|one| one["in"] == "path"));
    let changes = !matches!(method, "get" | "head");
    match kind {
        ProblemKind::WrongRequest => body.is_some() || parameters.is_some(),
        ProblemKind::NotFound => has_name,
        ProblemKind::TooLarge | ProblemKind::WrongType => has_json,
        ProblemKind::NoToken | ProblemKind::TooMany | ProblemKind::Store | ProblemKind::Unavailable => {
            role.is_some()
        }
        ProblemKind::WrongRole => role == Some(ApiRole::Admin),
        ProblemKind::CrossSite => changes,
        ProblemKind::WrongHost | ProblemKind::TimedOut => true,
        // Who answers so says so itself; and what has no operation has no answers of one.
        ProblemKind::NoRoute
        | ProblemKind::WrongMethod
        | ProblemKind::Conflict
        | ProblemKind::Configuration
        | ProblemKind::NotReady => false,
    }
}

/// An answer with problem details.
fn problem(kinds: &[ProblemKind], said: Option<&Value>) -> Value {
    let titles: Vec<_> = kinds.iter().map(|kind| kind.title()).collect();
    let said = said.and_then(|said| said["description"].as_str()).filter(|said| !said.is_empty());
    let description = said.map_or_else(|| titles.join("; or: "), str::to_owned);
    let mut response = json!({
        "description": description,
        "content": { PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let field = |text: &str, kind: &str| json!({ "description": text, "schema": { "type": kind } });
    if kinds.contains(&ProblemKind::NoToken) {
        response["headers"] = json!({ "WWW-Authenticate": field("How to say who one is", "string") });
    }
    if kinds.contains(&ProblemKind::TooMany) {
        response["headers"] = json!({ "Retry-After": field("Seconds to wait", "integer") });
    }
    response
}
