//! docs/api.md has every route of the interface with the role that it needs, and every kind of problem.

use std::fmt::Write as _;

use mailsluice::control::api;
use mailsluice::control::view::ProblemKind;

use super::commands::hold;

/// The tables as they should be.
fn tables() -> String {
    let document = api::openapi();
    let mut text = "## Routes\n\n| | | Role | |\n|---|---|---|---|\n".to_owned();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let role = operation["security"][0]["token"][0].as_str().unwrap_or("none");
            let words = ["summary", "description"].map(|key| operation[key].as_str().unwrap_or_default());
            let words = words.iter().find(|words| !words.is_empty()).unwrap().replace('\n', " ");
            writeln!(text, "| {} | `{path}` | {role} | {words} |", method.to_uppercase()).unwrap();
        }
    }
    text += "\n## Problems\n\nAn error is `application/problem+json` (RFC 9457): `type`, `title` (what to do), `status`, `detail` (what \
             is wrong).\n\n| Status | `type` | `title` |\n|---|---|---|\n";
    for kind in ProblemKind::ALL {
        writeln!(text, "| {} | `{}` | {} |", kind.status(), kind.type_name(), kind.title()).unwrap();
    }
    text + "\n"
}

#[test]
fn every_route_and_problem() {
    hold("docs/api.md", &tables());
}

/// What the document says of itself holds: names that are unique, references that lead somewhere.
#[test]
fn the_document_is_whole() {
    let document = api::openapi();
    assert_eq!(document["openapi"], "3.1.0");
    let mut names = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            names.push(operation["operationId"].as_str().unwrap().to_owned());
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("200"), "{method} {path}");
            for (status, response) in responses {
                assert!(
                    !response["description"].as_str().unwrap_or_default().is_empty(),
                    "{method} {path} {status}"
                );
                let is_problem = response["content"]["application/problem+json"].is_object();
                assert_eq!(is_problem, status.starts_with(['4', '5']), "{method} {path} {status}");
            }
        }
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert!(all > 25 && names.len() == all, "{names:?}");
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
}
