//! What refuses objects in a namespace: a quota, an admission policy, a webhook that says no, and one that does not work.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use openssl::base64::encode_block;
use openssl::ssl::SslAcceptor;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::namespace::Namespace;
use crate::tls::Identity;
use crate::wait::{soon, wait_for};

/// The ConfigMap that every obstacle refuses to everyone: so it is known to stand.
const PROBE: &str = "probe";

/// Something that refuses what somebody writes; lifted when dropped.
#[derive(Debug)]
pub struct Obstacle<'a> {
    home: &'a Namespace,
    objects: Vec<String>,
}

/// What a webhook answers.
#[derive(Debug, Clone)]
pub enum Webhook {
    /// No, with an HTTP status and words.
    No(u16, String),
    /// Nothing that can be understood, with the HTTP status 500.
    Garbage,
}

impl<'a> Obstacle<'a> {
    /// A quota of none, such as of `count/services`.
    pub fn quota(home: &'a Namespace, of: &str) -> Self {
        home.kubectl(&["create", "quota", "none", &format!("--hard={of}=0")]);
        wait_for(30, "the quota counts", || {
            let quota = home.get("resourcequota/none");
            soon(quota["status"]["used"].is_object(), quota)
        });
        Self { home, objects: vec!["quota/none".into()] }
    }

    /// A policy that refuses a user to write a resource, such as `roles` or `stockwatches/status`, for a reason such as
    /// `Forbidden` or `Invalid`, with these words.
    pub fn policy(home: &'a Namespace, user: &str, resource: &str, reason: &str, words: &str) -> Self {
        let name = format!("{}-{}", home.name(), resource.replace('/', "-"));
        let (rules, matches) = matching(user, resource);
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"namespaceSelector": only(home), "resourceRules": rules},
                "matchConditions": matches,
                "validations": [{"expression": "false", "message": words, "reason": reason}],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        });
        let kinds = ["validatingadmissionpolicybinding", "validatingadmissionpolicy"];
        let objects = kinds.map(|kind| format!("{kind}/{name}")).to_vec();
        Self { home, objects }.stand(&[policy, binding])
    }

    /// A webhook for what a user writes of a resource.
    pub fn webhook(home: &'a Namespace, user: &str, resource: &str, answer: Webhook) -> Self {
        let name = format!("{}-{}", home.name(), resource.replace('/', "-"));
        let (port, certificate) = serve(answer);
        let (rules, matches) = matching(user, resource);
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": "no.example.com",
                "clientConfig": {
                    "url": format!("https://{}:{port}/", Cluster::HOST),
                    "caBundle": encode_block(&certificate),
                },
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "timeoutSeconds": 3,
                "namespaceSelector": only(home),
                "rules": rules,
                "matchConditions": matches,
            }],
        });
        Self { home, objects: vec![format!("validatingwebhookconfiguration/{name}")] }.stand(&[configuration])
    }

    fn stand(self, objects: &[Value]) -> Self {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.home.apply(&list.to_string()).unwrap();
        wait_for(60, "the obstacle stands", || {
            let create = ["create", "configmap", PROBE, "--dry-run=server"];
            self.home.try_kubectl(&create).err().ok_or_else(|| "a ConfigMap can be created".to_owned())
        });
        self
    }

    /// Takes it away.
    pub fn lift(self) {
        drop(self);
    }
}

impl Drop for Obstacle<'_> {
    fn drop(&mut self) {
        let objects: Vec<&str> = self.objects.iter().map(String::as_str).collect();
        let _ = self.home.try_kubectl(&[&["delete"], &*objects].concat());
    }
}

fn only(home: &Namespace) -> Value {
    json!({"matchLabels": {"kubernetes.io/metadata.name": home.name()}})
}

/// The rules of an obstacle, and its conditions.
fn matching(user: &str, resource: &str) -> (Value, Value) {
    let rules = json!([{
        "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
        "resources": [resource, "configmaps"],
    }]);
    let base = resource.split('/').next().unwrap();
    let expression = format!(
        "request.name == '{PROBE}' || \
         (request.userInfo.username == '{user}' && request.resource.resource == '{base}')"
    );
    (rules, json!([{"name": "whose", "expression": expression}]))
}

/// Serves the answer until the process ends: the port, and the certificate as PEM.
fn serve(answer: Webhook) -> (u16, Vec<u8>) {
    let identity = Identity::of(Cluster::HOST.parse().unwrap());
    let listener = TcpListener::bind((Cluster::HOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = Arc::new(identity.acceptor());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (acceptor, answer) = (Arc::clone(&acceptor), answer.clone());
            thread::spawn(move || reply(&acceptor, stream, &answer));
        }
    });
    (port, identity.pem())
}

/// Answers one request; whoever hangs up early gets none.
fn reply(acceptor: &SslAcceptor, stream: TcpStream, answer: &Webhook) -> Option<()> {
    let mut reader = BufReader::new(acceptor.accept(stream).ok()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let review: Value = serde_json::from_slice(&body).ok()?;
    let (status, text) = match answer {
        Webhook::Garbage => ("500 Internal Server Error", "what?".to_owned()),
        Webhook::No(code, words) => {
            let uid = &review["request"]["uid"];
            let response = json!({"uid": uid, "allowed": false, "status": {"code": code, "message": words}});
            let review =
                json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
            ("200 OK", review.to_string())
        }
    };
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}", text.len());
    write!(reader.get_mut(), "{head}\r\nConnection: close\r\n\r\n{text}").ok()
}
