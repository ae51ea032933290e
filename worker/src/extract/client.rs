//! The HTTP client of every source that is asked: how it connects, how far it follows, how much it reads, and what the
//! status and headers of an answer mean.
//!
//! TLS is rustls with the system's authorities: what Rust clients are reported to pass with where OpenSSL is refused.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Response, Url, redirect};
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use serde::de::IgnoredAny;

use super::fetched::FetchError;
use super::secrets::Material;

/// From the start of a request to the last byte of its answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_REDIRECTS: usize = 3;
/// A chart of a day's minutes has about 40 KiB, a spark of twenty symbols about 25.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// The hosts below it are one, as far as redirects go; those that ask for consent are not below it.
const QUOTE_HOSTS: &str = "finance.yahoo.com";

/// What [`FetchError::Refused`] says of an answer that is no JSON but a page.
pub(super) const PAGE: &str = "a page for people, perhaps for their consent";
/// How [`FetchError::Refused`] begins where an answer leads elsewhere.
pub(super) const REDIRECT: &str = "a redirect to ";

/// What a status means beyond what it means everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// An unknown symbol is said in JSON: a 404 without it means too many requests, and so does 999.
    Yahoo,
    /// A 404 is what it is.
    Plain,
}

/// Sends requests of one source.
#[derive(Debug, Clone)]
pub(super) struct SourceClient {
    client: Client,
    headers: HeaderMap,
    dialect: Dialect,
}

impl SourceClient {
    /// The error is a sentence, without a secret.
    pub(super) fn new(user_agent: &str, dialect: Dialect, material: &Material) -> Result<Self, String> {
        let has_keys = !material.headers.is_empty();
        let client = builder(user_agent, material, &[b"h2", b"http/1.1"])?
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::custom(move |attempt| {
                let asked = attempt.previous();
                let stays = asked.first().is_some_and(|first| may_redirect(first, attempt.url(), has_keys));
                if stays && asked.len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
            }))
            .build()
            .map_err(|error| causes(&error.without_url()))?;
        Ok(Self { client, headers: material.headers.clone(), dialect })
    }

    /// Returns the body of a good answer, at most 1 MiB.
    ///
    /// # Errors
    /// What the status, the headers or the connection say is wrong.
    pub(super) async fn fetch(self, url: Url) -> Result<Vec<u8>, FetchError> {
        let request = self.client.get(url).header(ACCEPT, "application/json").headers(self.headers);
        read(request.send().await.map_err(failure)?, self.dialect).await
    }
}

/// Returns the body of a good answer, at most 1 MiB.
///
/// # Errors
/// What the status, the headers or the body say is wrong.
pub(super) async fn read(response: Response, dialect: Dialect) -> Result<Vec<u8>, FetchError> {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let refused = |said: String| FetchError::Refused { said, retry_after };
    Err(match status.as_u16() {
        200 => match body(response).await? {
            page if is_page(&page) => refused(PAGE.into()),
            body => return Ok(body),
        },
        300..=399 => {
            let to = response.headers().get(LOCATION).and_then(|to| Url::parse(to.to_str().ok()?).ok());
            let host = to.as_ref().and_then(Url::host_str);
            refused(format!("{REDIRECT}{}", host.unwrap_or("another place")))
        }
        404 if dialect == Dialect::Plain => FetchError::NotFound,
        404 => match serde_json::from_slice::<IgnoredAny>(&body(response).await?) {
            Ok(_) => FetchError::NotFound,
            Err(_) => FetchError::RateLimited { retry_after },
        },
        429 => FetchError::RateLimited { retry_after },
        999 if dialect == Dialect::Yahoo => FetchError::RateLimited { retry_after },
        // These are about what is asked: a symbol, or too many of them.
        400 | 413 | 414 | 422 | 431 => FetchError::Client(status.to_string()),
        // All others are about who asks: 401 to 403, a ban (418), a country (451).
        400..=499 => refused(status.to_string()),
        500..=599 => FetchError::Server { status: status.to_string(), retry_after },
        _ => FetchError::BadBody(format!("unexpected status {status}")),
    })
}

/// A client that upgrades connections to WebSockets: HTTP/1.1, and without a limit of the whole. The error is a sentence.
pub(super) fn for_websockets(user_agent: &str, material: &Material) -> Result<Client, String> {
    let builder = builder(user_agent, material, &[b"http/1.1"])?;
    let builder = builder.http1_only().redirect(redirect::Policy::none());
    builder.build().map_err(|error| causes(&error.without_url()))
}

/// What all clients of sources share.
fn builder(user_agent: &str, material: &Material, protocols: &[&[u8]]) -> Result<ClientBuilder, String> {
    let builder = Client::builder()
        .user_agent(user_agent)
        .connect_timeout(CONNECT_TIMEOUT)
        .tls_backend_preconfigured(tls(material, protocols)?);
    match &material.proxy {
        Some(proxy) => Ok(builder.proxy(proxy.clone())),
        None => Ok(builder),
    }
}

fn tls(material: &Material, protocols: &[&[u8]]) -> Result<ClientConfig, String> {
    let more = material.authorities.as_deref().unwrap_or_default();
    let more: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(more)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("the proxy's authority is no PEM certificate: {error}"))?;
    if material.authorities.is_some() && more.is_empty() {
        return Err("the proxy's authority is no PEM certificate".into());
    }
    let provider = Arc::new(ring::default_provider());
    let verifier =
        Verifier::new_with_extra_roots(more, Arc::clone(&provider)).map_err(|error| error.to_string())?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// Only to the host that was asked, or among Yahoo's for quotes, and never to an unencrypted one; with keys in the
/// headers only to the very same server. A list of registered domains (the crates psl and publicsuffix) would be needed to
/// tell more hosts of one owner, and is soon out of date.
fn may_redirect(asked: &Url, to: &Url, has_keys: bool) -> bool {
    if has_keys {
        return asked.origin() == to.origin();
    }
    let is_below = |url: &Url| {
        let host = url.host_str().and_then(|host| host.strip_suffix(QUOTE_HOSTS));
        host.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let is_encrypted = to.scheme() == "https" || asked.scheme() == "http";
    is_encrypted && (asked.host() == to.host() || (is_below(asked) && is_below(to)))
}

fn is_page(body: &[u8]) -> bool {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    body.trim_ascii_start().starts_with(b"<")
}

/// Seconds or an HTTP date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok()
}

/// What a failed request means. Its URL is left out: somebody may have put a key into it.
pub(super) fn failure(error: reqwest::Error) -> FetchError {
    let error = error.without_url();
    if error.is_connect() {
        FetchError::Connect(causes(&error))
    } else if error.is_timeout() {
        FetchError::Timeout
    } else if error.is_builder() {
        FetchError::Client(causes(&error))
    } else if error.is_body() || error.is_decode() {
        FetchError::BadBody(causes(&error))
    } else {
        FetchError::Connect(causes(&error))
    }
}

/// The innermost cause is the one that says something.
fn causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

async fn body(mut response: Response) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| match failure(error) {
        FetchError::Timeout => FetchError::Timeout,
        other => FetchError::BadBody(other.to_string()),
    })? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests;
