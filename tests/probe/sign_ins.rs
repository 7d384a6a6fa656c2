//! What is told of sign-ins, and how they are made: by the control interface, at a provider that answers at once.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Request, Response};
use mailsluice::oauth::{SignIns, client_fingerprint};
use mailsluice::web::{HttpClient, HttpError, HttpTerms};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::support::control::Control;
use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Script, Upstream};

struct Provider;

#[async_trait]
impl HttpClient for Provider {
    async fn send(&self, _: Request<Vec<u8>>, _: &HttpTerms<'_>) -> Result<Response<Vec<u8>>, HttpError> {
        let tokens = json!({"access_token": "c4n4ry-access", "refresh_token": "c4n4ry-next", "token_type": "Bearer",
            "expires_in": 3600});
        Ok(Response::new(tokens.to_string().into_bytes()))
    }
}

const CONFIG: &str = "hostname = \"relay.firm.example\"\n[[upstream]]\nname = \"main\"\ndefault = true\nhost = \"main\"\n\
    security = \"none\"\nallow_plaintext_auth = true\nuser = \"anna@firm.example\"\noauth = \"m365\"\n\
    [[oauth]]\nname = \"m365\"\nprovider = \"microsoft\"\ntenant = \"firm.example\"\n\
    client_id = \"00000000-0000-0000-0000-000000000000\"\nflow = \"device_code\"\n";

async fn put(control: &Control, name: &str, body: Value) -> (u16, Value) {
    let (status, mut answer) = control.begin("PUT", &format!("/sign-ins/{name}"), body.to_string()).await;
    (status.as_u16(), answer.next().await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_is_shown_before_and_after_without_its_tokens() {
    let upstream = Upstream::new(Script::default().with_tokens("XOAUTH2", &["c4n4ry-access"]));
    let mut sim = Simulation::new(CONFIG, &[("main", &upstream)]);
    sim.sign_ins = Arc::new(SignIns::new(Arc::new(Provider)));
    sim.start().await;
    sleep(secs(1)).await;
    let control = sim.control();
    let nobody =
        json!({"reason": "nobody has signed in yet for m365", "action": "run `mailsluice connect m365`"});
    let want = json!([{
        "name": "m365", "flow": "device_code", "account": null, "signed_in_at": null, "renewed_at": null,
        "reason": nobody["reason"], "action": nobody["action"],
        "tokens": [{
            "resource": "smtp", "user": null, "expires_at": null, "until": null,
            "reason": nobody["reason"], "action": nobody["action"],
        }],
    }]);
    assert_eq!(control.ask("GET", "/sign-ins").await, want);
    sim.submit("a@firm.example", &["b@dest.example"]).await;

    let client = client_fingerprint(&sim.config.sign_ins[0]);
    let grant = json!({"refresh_token": "c4n4ry-refresh", "client": client, "account": "anna@firm.example"});
    let with = |key: &str, value: Value| {
        let mut grant = grant.clone();
        grant[key] = value;
        grant
    };
    for (name, body, status, words) in [
        ("nobody", grant.clone(), 404, "there is no [[oauth]] named nobody"),
        ("m365", with("client", json!("another")), 409, "another client_id or tenant"),
        ("m365", with("refresh_token", json!("")), 400, "refresh_token is not one"),
        ("m365", with("refresh_token", json!(["c4n4ry-refresh"])), 400, "the body is not a grant"),
    ] {
        let (got, answer) = put(&control, name, body).await;
        assert_eq!(got, status, "{answer}");
        assert!(answer.to_string().contains(words) && !answer.to_string().contains("c4n4ry"), "{answer}");
    }
    assert_eq!(control.ask("GET", "/sign-ins").await, want, "what was refused changes nothing");

    let (status, _) = put(&control, "m365", grant).await;
    assert_eq!(status, 200);
    sim.until_empty(secs(5)).await;
    let all = control.ask("GET", "/sign-ins").await;
    let one = &all[0];
    assert_eq!(
        (&one["account"], &one["reason"], &one["action"]),
        (&json!("anna@firm.example"), &Value::Null, &Value::Null)
    );
    for time in [&one["signed_in_at"], &one["renewed_at"], &one["tokens"][0]["expires_at"]] {
        assert!(time.as_str().unwrap().ends_with('Z'), "{all}");
    }
    let status = control.ask("GET", "/status").await;
    assert_eq!((&status["sign_ins"], &status["needs_a_person"]), (&all, &json!([])));
    assert!(!format!("{all}{status}").contains("c4n4ry"), "{all} {status}");
    assert_eq!(upstream.messages().len(), 1);
}
