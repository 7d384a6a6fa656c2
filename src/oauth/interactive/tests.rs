use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;
use crate::oauth::REQUEST_LIMIT;
use crate::oauth::testing::{self, Scripted, json};
use crate::time::{SystemClock, Timeline};
use crate::web::HttpError;

fn endpoint(flow: &str, http: &Arc<Scripted>) -> TokenEndpoint {
    let timeline = Timeline::resume(Arc::new(SystemClock), None);
    TokenEndpoint::new(Arc::new(testing::sign_in(flow)), http.clone(), timeline)
}

fn tokens() -> serde_json::Value {
    let claims = URL_SAFE_NO_PAD.encode(json!({"preferred_username": "Chief@firm.example"}).to_string());
    json!({"access_token": "hush", "token_type": "Bearer", "expires_in": 3599, "refresh_token": "hush",
        "id_token": format!("e30.{claims}.")})
}

#[tokio::test(start_paused = true)]
async fn a_device_code_is_waited_for() {
    let device = json!({"device_code": "hush", "user_code": "AB-CD", "verification_uri": "https://token.example/device",
        "expires_in": 900, "interval": 5});
    let pending = || json(400, &json!({"error": "authorization_pending"}));
    let http = Scripted::new([
        json(200, &device),
        pending(),
        json(400, &json!({"error": "slow_down"})),
        Err(HttpError::TimedOut { host: "token.example".to_owned(), limit: REQUEST_LIMIT }),
        json(503, &json!({})),
        pending(),
        json(200, &tokens()),
    ]);
    let endpoint = endpoint("device_code", &http);
    let code = endpoint.device_code(Resource::Smtp).await.unwrap();
    assert_eq!((code.user_code(), code.verification_url()), ("AB-CD", "https://token.example/device"));
    assert!(!format!("{code:?}").contains("hush") && !format!("{code:?}").contains("AB-CD"));
    let issued = endpoint.device_token(&code).await.unwrap();
    assert_eq!(issued.account.as_deref(), Some("Chief@firm.example"));
    let asked = http.asked();
    assert_eq!(asked.len(), 7);
    let (head, fields) = &asked[0];
    assert_eq!(head, "POST https://login.microsoftonline.com/t/oauth2/v2.0/devicecode");
    let scope = fields.iter().find(|(key, _)| key == "scope").unwrap();
    assert_eq!(scope.1, "https://outlook.office.com/SMTP.Send offline_access openid profile email");
}

#[tokio::test(start_paused = true)]
async fn a_device_code_ends() {
    let device = json!({"device_code": "hush", "user_code": "AB-CD", "verification_uri": "https://token.example/device",
        "expires_in": 60});
    for (end, want) in [
        (json(400, &json!({"error": "access_denied"})), "access_denied"),
        (json(400, &json!({"error": "expired_token"})), "expired_token"),
        (
            json(400, &json!({"error": "invalid_client", "error_description": "AADSTS7000218: x"})),
            "invalid_client",
        ),
        // Nobody answers any more.
        (
            Err(HttpError::TimedOut { host: "token.example".to_owned(), limit: REQUEST_LIMIT }),
            "expired_token",
        ),
    ] {
        let http = Scripted::new([json(200, &device), end]);
        let endpoint = endpoint("device_code", &http);
        let code = endpoint.device_code(Resource::Smtp).await.unwrap();
        let error = endpoint.device_token(&code).await.unwrap_err();
        assert_eq!(error.refusal().unwrap().error, want);
    }
}

#[tokio::test]
async fn a_code_comes_back_with_our_state() {
    let http = Scripted::new([json(200, &tokens())]);
    let endpoint = endpoint("authorization_code", &http);
    let redirect = Url::parse("http://127.0.0.1:4000/").unwrap();
    let begun = endpoint.authorization(Resource::Smtp, &redirect).unwrap();
    let of = |name: &str| begun.url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    assert_eq!((of("code_challenge_method").as_str(), of("response_type").as_str()), ("S256", "code"));
    let state = of("state");
    let back = |query: &str| Url::parse(&format!("http://127.0.0.1:4000/?{query}")).unwrap();
    assert!(matches!(begun.code(&back("code=hush&state=other")), Err(RedirectError::State)));
    assert!(matches!(begun.code(&back("code=hush")), Err(RedirectError::State)));
    assert!(matches!(begun.code(&back("")), Err(RedirectError::NoCode)));
    let refused = begun.code(&back(&format!("state={state}&error=access_denied"))).unwrap_err();
    assert!(matches!(&refused, RedirectError::Refused(refusal) if refusal.error == "access_denied"));
    let code = begun.code(&back(&format!("state={state}&code=hush"))).unwrap();
    endpoint.exchange_code(&begun, &code).await.unwrap();
    let (_, fields) = http.asked().remove(0);
    let of = |name: &str| fields.iter().find(|(key, _)| key == name).unwrap().1.clone();
    assert_eq!(
        (of("grant_type").as_str(), of("redirect_uri").as_str()),
        ("authorization_code", "http://127.0.0.1:4000/")
    );
    assert!(of("code_verifier").len() >= 43 && !format!("{begun:?}").contains(&of("code_verifier")));
}
