//! A token endpoint (OAuth 2.0, client credentials), and the key with which it signs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::provider::{Asked, Provider};

/// Signs tokens by RS256.
#[derive(Debug, Clone)]
pub struct TokenKey(PKey<Private>);

impl TokenKey {
    pub(crate) fn generate() -> Self {
        Self(PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap())
    }

    /// The public part as a JSON Web Key Set.
    pub(crate) fn public(&self) -> String {
        let rsa = self.0.rsa().unwrap();
        let [n, e] = [rsa.n(), rsa.e()].map(|number| BASE64_URL_SAFE_NO_PAD.encode(number.to_vec()));
        json!({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "test", "n": n, "e": e}]})
            .to_string()
    }

    /// A token with these claims.
    fn sign(&self, claims: &Value) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let text =
            format!("{}.{}", part(&json!({"alg": "RS256", "typ": "JWT", "kid": "test"})), part(claims));
        let mut signer = Signer::new(MessageDigest::sha256(), &self.0).unwrap();
        let signature = signer.sign_oneshot_to_vec(text.as_bytes()).unwrap();
        format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The endpoint: gives tokens to the client `stockwatch` that live for a few seconds.
#[derive(Clone)]
pub struct TokenEndpoint {
    provider: Provider,
    given: Arc<AtomicU64>,
    secret: Arc<Mutex<String>>,
}

impl TokenEndpoint {
    /// The only client.
    pub const CLIENT: &str = "stockwatch";
    /// The audience that the brokers expect.
    pub const AUDIENCE: &str = "kafka";

    /// Listens on a free port of this host. The client has this secret; its tokens live for `seconds`.
    pub fn start(key: TokenKey, secret: &str, seconds: u64) -> Self {
        let (given, secret) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(secret.to_owned())));
        let (count, known) = (given.clone(), secret.clone());
        let provider = Provider::start(move |asked| {
            if !is_client(asked, &known.lock().unwrap()) {
                let refusal = json!({"error": "invalid_client", "error_description": "no such client"});
                return Answer::Whole(401, "Content-Type: application/json", refusal.to_string());
            }
            count.fetch_add(1, Ordering::Relaxed);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let claims = json!({
                "iss": "test", "aud": Self::AUDIENCE, "sub": Self::CLIENT, "scope": "kafka",
                "iat": now, "exp": now + seconds,
            });
            let token =
                json!({"access_token": key.sign(&claims), "token_type": "Bearer", "expires_in": seconds});
            Answer::json(token.to_string())
        });
        Self { provider, given, secret }
    }

    /// Its server.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Where tokens are asked for.
    pub fn url(&self) -> String {
        format!("{}/token", self.provider.url())
    }

    /// How many tokens it has given.
    pub fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }

    /// Gives the client another secret.
    pub fn set_secret(&self, secret: &str) {
        secret.clone_into(&mut self.secret.lock().unwrap());
    }
}

/// Whether this is the client, and it asks as RFC 6749 has it.
fn is_client(asked: &Asked, secret: &str) -> bool {
    let expected = BASE64_STANDARD.encode(format!("{}:{secret}", TokenEndpoint::CLIENT));
    let form: Vec<&str> = asked.body.split('&').collect();
    asked.headers.get("authorization") == Some(&format!("Basic {expected}"))
        && form.contains(&"grant_type=client_credentials")
        && form.contains(&"scope=kafka.read+kafka.write")
}
