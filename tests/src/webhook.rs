//! The servers of admission webhooks, in this process.

use std::fs;

use openssl::base64::encode_block;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::cluster::Cluster;
use crate::namespace::Namespace;
use crate::provider::Provider;

/// Serves answers to reviews until the process ends, HTTP status 500 for none. Gives the `clientConfig` that names it.
pub(crate) fn serve(answer: impl Fn(&Value) -> Option<Value> + Send + Sync + 'static) -> Value {
    let provider = Provider::on(Cluster::HOST.parse().unwrap(), move |asked| {
        match answer(&serde_json::from_str(&asked.body).unwrap()) {
            Some(review) => Answer::json(review.to_string()),
            None => Answer::Whole(500, "", "what?".into()),
        }
    });
    let authority = fs::read(provider.authority()).unwrap();
    json!({"url": format!("{}/", provider.url()), "caBundle": encode_block(&authority)})
}

/// The answer to a review, from its members but for its uid.
pub(crate) fn answer(review: &Value, mut response: Value) -> Value {
    response["uid"] = review["request"]["uid"].clone();
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

/// Selects a namespace.
pub(crate) fn only(home: &Namespace) -> Value {
    json!({"matchLabels": {"kubernetes.io/metadata.name": home.name()}})
}
