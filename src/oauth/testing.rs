//! What tests of sign-ins need: keys, sign-ins, and a client whose answers are written down.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response};

use crate::config::{ClientCertificate, Config, Identity, ServiceAccount, SignIn};
use crate::web::{HttpClient, HttpError, HttpTerms};

/// An RSA key.
pub(super) struct Keys {
    pub(super) private: String,
    pub(super) public: String,
    certificate: String,
}

/// One for all tests: it takes a while to find.
pub(super) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let private = pem("PRIVATE KEY", private.as_ref());
        let key = rcgen::KeyPair::from_pem_and_sign_algo(&private, &rcgen::PKCS_RSA_SHA256).unwrap();
        let params = rcgen::CertificateParams::new(vec!["relay.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Keys { public: pem("PUBLIC KEY", public.as_ref()), private, certificate }
    })
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

impl Keys {
    pub(super) fn client_certificate(&self) -> ClientCertificate {
        let identity = Identity::from_pem(&self.certificate, &self.private).unwrap();
        ClientCertificate { identity, key: self.private.clone().into() }
    }

    pub(super) fn service_account(&self) -> ServiceAccount {
        let (email, key_id) = ("relay@firm.iam.example".to_owned(), Some("7".to_owned()));
        ServiceAccount { email, key_id, key: self.private.clone().into() }
    }
}

/// The sign-in `m365` with this flow, at `https://token.example/t`.
pub(super) fn sign_in(flow: &str) -> SignIn {
    let keys = match flow {
        "device_code" => "provider = \"microsoft\"\ntenant = \"t\"\nclient_id = \"id\"".to_owned(),
        "authorization_code" => {
            "provider = \"custom\"\nclient_id = \"id\"\nscope = \"mail\"\nclient_secret = \"hush-client\"\n\
             authorize_url = \"https://token.example/a\""
                .to_owned()
        }
        "client_credentials" => {
            "provider = \"microsoft\"\ntenant = \"t\"\nclient_id = \"id\"\nclient_secret = \"hush-client\""
                .to_owned()
        }
        "managed_identity" => "provider = \"microsoft\"\nmanaged_identity = true".to_owned(),
        "service_account" => {
            let account =
                serde_json::json!({"client_email": "relay@firm.iam.example", "private_key": keys().private});
            format!("provider = \"google\"\nservice_account = '''{account}'''")
        }
        _ => panic!("{flow}"),
    };
    let (flow, url) = match flow {
        "managed_identity" => ("client_credentials", "http://127.0.0.1:1/metadata/identity/oauth2/token"),
        _ => (flow, "https://token.example/t/oauth2/v2.0/token"),
    };
    let text = format!(
        "[[upstream]]\nname = \"x\"\nkind = \"capture\"\n[[oauth]]\nname = \"m365\"\nflow = \"{flow}\"\ntoken_url = \"{url}\"\n{keys}\n"
    );
    let loaded = Config::from_toml(&text, Path::new("/")).unwrap();
    (*loaded.config.sign_ins[0]).clone()
}

/// What a client answers.
pub(super) type Answer = Result<Response<Vec<u8>>, HttpError>;

/// A client whose answers are written down, and that notes what it was asked.
#[derive(Default)]
pub(super) struct Scripted {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<Request<Vec<u8>>>>,
}

impl Scripted {
    pub(super) fn new(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), asked: Mutex::default() })
    }

    /// The requests, each as its head's first line and its fields.
    pub(super) fn asked(&self) -> Vec<(String, Vec<(String, String)>)> {
        let asked = self.asked.lock().unwrap();
        let of = |request: &Request<Vec<u8>>| {
            let fields = url::form_urlencoded::parse(request.body()).into_owned().collect();
            (format!("{} {}", request.method(), request.uri()), fields)
        };
        asked.iter().map(of).collect()
    }

    /// A header field of the last request.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let asked = self.asked.lock().unwrap();
        Some(asked.last()?.headers().get(name)?.to_str().unwrap().to_owned())
    }
}

#[async_trait]
impl HttpClient for Scripted {
    async fn send(&self, request: Request<Vec<u8>>, _: &HttpTerms<'_>) -> Answer {
        self.asked.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop_front();
        answer.unwrap_or_else(|| {
            Err(HttpError::Unreachable { host: "token.example".to_owned(), reason: "down".to_owned() })
        })
    }
}

/// An answer in JSON.
#[expect(clippy::unnecessary_wraps, reason = "other answers are faults")]
pub(super) fn json(status: u16, body: &serde_json::Value) -> Answer {
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(body.to_string().into_bytes()).unwrap())
}
