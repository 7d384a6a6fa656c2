use serde_json::json;

use super::*;
use crate::oauth::testing::{self, Scripted, json};
use crate::time::SystemClock;
use crate::web::{HttpError, HttpTerms};

fn endpoint(sign_in: SignIn, http: &Arc<Scripted>) -> TokenEndpoint {
    TokenEndpoint::new(Arc::new(sign_in), http.clone(), Timeline::resume(Arc::new(SystemClock), None))
}

fn field(fields: &[(String, String)], name: &str) -> String {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

fn tokens() -> serde_json::Value {
    json!({"access_token": "hush-access", "token_type": "Bearer", "expires_in": 3599, "refresh_token": "hush-next"})
}

#[tokio::test]
async fn a_refresh_takes_the_next_refresh_token_with_it() {
    let http = Scripted::new([json(200, &tokens())]);
    let endpoint = endpoint(testing::sign_in("device_code"), &http);
    let issued = endpoint.refresh(&"hush-old".into(), Resource::Smtp).await.unwrap();
    assert_eq!((issued.access.expose(), issued.lifetime.as_secs()), ("hush-access", 3599));
    assert_eq!(issued.refresh.as_ref().map(ExposeSecret::expose_secret), Some("hush-next"));
    let (head, fields) = http.asked().remove(0);
    assert_eq!(head, "POST https://token.example/t/oauth2/v2.0/token");
    assert_eq!(field(&fields, "grant_type"), "refresh_token");
    assert_eq!(
        (field(&fields, "refresh_token"), field(&fields, "client_id")),
        ("hush-old".into(), "id".into())
    );
    assert_eq!(field(&fields, "scope"), "https://outlook.office.com/SMTP.Send offline_access");
    assert!(!format!("{issued:?} {endpoint:?}").contains("hush"));
}

#[expect(clippy::disallowed_methods, reason = "a test writes plain files")]
#[tokio::test]
async fn an_application_proves_itself() {
    let keys = testing::keys();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.jwt");
    for (proof, is_asserted) in [
        (ClientProof::Secret("hush".into()), false),
        (ClientProof::Certificate(keys.client_certificate()), true),
        (ClientProof::AssertionFile(file.clone()), true),
    ] {
        std::fs::write(&file, "eyJ.eyJ.c2ln\n").unwrap();
        let http = Scripted::new([json(200, &tokens()), json(200, &tokens())]);
        let endpoint = endpoint(SignIn { proof, ..testing::sign_in("client_credentials") }, &http);
        endpoint.without_grant(Resource::Graph, "").await.unwrap();
        std::fs::write(&file, "eyJ.new.c2ln\n").unwrap();
        endpoint.without_grant(Resource::Smtp, "").await.unwrap();
        let [(_, graph), (_, smtp)] = http.asked().try_into().unwrap();
        assert_eq!(field(&graph, "grant_type"), "client_credentials");
        assert_eq!(field(&graph, "scope"), "https://graph.microsoft.com/.default");
        assert_eq!(field(&smtp, "scope"), "https://outlook.office365.com/.default");
        assert_eq!(field(&smtp, "client_secret").is_empty(), is_asserted);
        assert_eq!(field(&smtp, "client_assertion_type") == JWT_BEARER_ASSERTION, is_asserted);
        // Each request has a statement of its own, and a file is read afresh.
        assert_eq!(field(&smtp, "client_assertion") != field(&graph, "client_assertion"), is_asserted);
    }
}

#[tokio::test]
async fn others_take_the_secret_in_the_header() {
    let http = Scripted::new([json(200, &tokens())]);
    let endpoint = endpoint(testing::sign_in("authorization_code"), &http);
    endpoint.refresh(&"hush".into(), Resource::Smtp).await.unwrap();
    let (_, fields) = http.asked().remove(0);
    assert!(http.header("authorization").unwrap().starts_with("Basic "));
    assert!(field(&fields, "client_secret").is_empty() && field(&fields, "scope").is_empty(), "{fields:?}");
    let error = endpoint.refresh(&"hush".into(), Resource::Graph).await.unwrap_err();
    assert!(error.to_string().contains("graph_scope"), "{error}");
}

#[tokio::test]
async fn a_service_account_and_a_machine_ask_in_their_own_ways() {
    let http = Scripted::new([json(200, &tokens()), json(400, &json!({"error": "unauthorized_client"}))]);
    let account = endpoint(testing::sign_in("service_account"), &http);
    assert!(account.without_grant(Resource::Smtp, "a@firm.example").await.unwrap().refresh.is_none());
    let (_, fields) = http.asked().remove(0);
    assert_eq!((field(&fields, "grant_type").as_str(), fields.len()), (JWT_BEARER_GRANT, 2));
    let error = account.without_grant(Resource::Smtp, "b@firm.example").await.unwrap_err();
    assert_eq!(error.refusal().map(|refusal| refusal.error.as_str()), Some("unauthorized_client"));

    let azure = json!({"access_token": "t", "token_type": "Bearer", "expires_in": "86399"});
    let http = Scripted::new([json(200, &azure)]);
    let machine = endpoint(testing::sign_in("managed_identity"), &http);
    assert_eq!(machine.without_grant(Resource::Smtp, "").await.unwrap().lifetime.as_secs(), 86_399);
    let (head, _) = http.asked().remove(0);
    assert_eq!(
        head,
        "GET http://127.0.0.1:1/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Foutlook.office365.com"
    );
    assert_eq!(http.header("metadata").as_deref(), Some("true"));
}

#[tokio::test]
async fn no_failure_shows_what_was_said() {
    let html = || Ok(Response::builder().status(200).body(b"<p>hush</p>".to_vec()).unwrap());
    let busy = || {
        let response = Response::builder().status(503).header("retry-after", "20");
        Ok(response.body(b"hush".to_vec()).unwrap())
    };
    for (answer, want) in [
        (html(), "the answer of token.example (200) is not that of a token endpoint"),
        (busy(), "token.example answers 503"),
        (
            json(404, &json!({"message": "hush"})),
            "the answer of token.example (404) is not that of a token endpoint",
        ),
        (
            json(200, &json!({"access_token": "hush"})),
            "the answer of token.example (200) is not that of a token endpoint",
        ),
        (
            json(200, &json!({"access_token": "hush\n", "token_type": "bearer"})),
            "the answer of token.example (200) is not that of a token endpoint",
        ),
        (
            json(200, &json!({"access_token": "hush", "token_type": "mac"})),
            "the answer of token.example (200) is not that of a token endpoint",
        ),
        (
            json(
                400,
                &json!({"error": "invalid_grant", "error_description": "AADSTS700082: expired\r\nTrace ID: 1"}),
            ),
            "the provider refuses: invalid_grant (AADSTS700082: expired)",
        ),
        (
            Err(HttpError::TooLong { host: "token.example".to_owned() }),
            "the answer of token.example is longer than 1048576 octets",
        ),
    ] {
        for flow in ["device_code", "service_account"] {
            let http = Scripted::new([answer.clone()]);
            let endpoint = endpoint(testing::sign_in(flow), &http);
            let error = match flow {
                "device_code" => endpoint.refresh(&"hush".into(), Resource::Smtp).await,
                _ => endpoint.without_grant(Resource::Smtp, "a@firm.example").await,
            };
            // Only the standard's library insists on a type.
            let Err(error) = error else {
                assert!(flow == "service_account" && answer.is_ok(), "{want}");
                continue;
            };
            assert_eq!(error.to_string(), want, "{flow}");
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }
}

/// A provider that repeats all that it was told, over several lines and at length.
#[expect(clippy::disallowed_methods, reason = "a test writes plain files")]
#[tokio::test]
async fn a_refusal_shows_nothing_that_was_said() {
    struct Parrot;
    #[async_trait::async_trait]
    impl HttpClient for Parrot {
        async fn send(
            &self,
            request: Request<Vec<u8>>,
            _: &HttpTerms<'_>,
        ) -> Result<Response<Vec<u8>>, HttpError> {
            let fields: Vec<_> = url::form_urlencoded::parse(request.body()).into_owned().collect();
            let header = request.headers().get("authorization").map(|value| value.to_str().unwrap());
            let (body, values) =
                (String::from_utf8_lossy(request.body()), fields.iter().map(|(_, value)| value));
            let values: Vec<_> = values.map(String::as_str).collect();
            let heard = format!("{} {body} {}", values.join(" "), header.unwrap_or_default());
            let words = format!("AADSTS50000: {heard}\n{heard}{}", "x".repeat(5000));
            json(400, &json!({"error": "invalid_grant", "error_description": words}))
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.jwt");
    std::fs::write(&file, "eyJhbGciOiJub25lIn0.eyJodXNoIjoxfQ.aHVzaC1zaWduYXR1cmU\n").unwrap();
    let secret = ClientProof::Secret("hush-secret-of-the-client".into());
    for (flow, proof) in [
        ("device_code", secret.clone()),
        ("authorization_code", secret.clone()),
        ("client_credentials", ClientProof::Certificate(testing::keys().client_certificate())),
        ("client_credentials", ClientProof::AssertionFile(file)),
        ("service_account", ClientProof::None),
    ] {
        let timeline = Timeline::resume(Arc::new(SystemClock), None);
        let sign_in = SignIn { proof, ..testing::sign_in(flow) };
        let endpoint = TokenEndpoint::new(Arc::new(sign_in), Arc::new(Parrot), timeline);
        let mut errors = vec![endpoint.without_grant(Resource::Smtp, "a@firm.example").await.unwrap_err()];
        errors.push(endpoint.refresh(&"hush-refresh-token".into(), Resource::Smtp).await.unwrap_err());
        if flow == "authorization_code" {
            let begun =
                endpoint.authorization(Resource::Smtp, &"http://127.0.0.1:1".parse().unwrap()).unwrap();
            errors.push(endpoint.exchange_code(&begun, &"hush-code-of-a-person".into()).await.unwrap_err());
        }
        for error in errors {
            let (shown, debug) = (error.to_string(), format!("{error:?}"));
            assert!(
                shown.starts_with("the provider refuses: invalid_grant (AADSTS50000: "),
                "{flow}: {shown}"
            );
            assert!(shown.len() < 400 && !shown.contains(char::is_control), "{flow}: {shown}");
            for secret in ["hush", "aHVzaC", "eyJ"] {
                assert!(!shown.contains(secret) && !debug.contains(secret), "{flow}: {secret} in {debug}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_given_up() {
    struct Deaf;
    #[async_trait::async_trait]
    impl HttpClient for Deaf {
        async fn send(&self, _: Request<Vec<u8>>, _: &HttpTerms<'_>) -> Result<Response<Vec<u8>>, HttpError> {
            std::future::pending().await
        }
    }
    let timeline = Timeline::resume(Arc::new(SystemClock), None);
    let endpoint =
        TokenEndpoint::new(Arc::new(testing::sign_in("client_credentials")), Arc::new(Deaf), timeline);
    let error = endpoint.without_grant(Resource::Smtp, "").await.unwrap_err();
    assert_eq!(error.to_string(), "token.example has not answered within 30 seconds");
}
