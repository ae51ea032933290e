//! Where the tokens of OAUTHBEARER come from.

use super::secret::CaSecret;
use crate::limits::{MAX_EXTENSIONS, MAX_SCOPE, MAX_URL};
use crate::problem::{Problems, shown};
use crate::url::after_host;
use crate::v1alpha1::{OAuthSpec, SAY_EXTENSIONS, SAY_SCOPE, SAY_TOKEN_URL};

const AT: &str = "spec.kafka.sasl.oauth";

/// Where the tokens of OAUTHBEARER come from: OpenID Connect, with client credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    /// `https://`, or `http://` to this very host.
    pub token_url: String,
    /// Words with one space between two; `None`: what the endpoint gives by itself.
    pub scope: Option<String>,
    /// What the brokers are told beside the token: `name=value`, separated by commas.
    pub extensions: Option<String>,
    /// Where the endpoint's certificate authority is; `None`: the system's.
    pub ca: Option<CaSecret>,
}

impl OAuth {
    pub(super) fn parse(oauth: &OAuthSpec, problems: &mut Problems) -> Self {
        let url = &oauth.token_url;
        let is_path = |path: &str| path.bytes().all(|b| b.is_ascii_graphic() && !b"\"#".contains(&b));
        if url.len() > MAX_URL || !after_host(url).is_some_and(is_path) {
            problems.add(
                format!("{AT}.tokenUrl"),
                format!("{} is none: {SAY_TOKEN_URL}, at most {MAX_URL} characters", shown(url)),
            );
        }
        let mut check = |field: &str, text: Option<&String>, separator, is: fn(&str) -> bool, most, say| {
            if let Some(text) = text.filter(|text| text.len() > most || !text.split(separator).all(is)) {
                problems.add(
                    format!("{AT}.{field}"),
                    format!("{} is none: {say}, at most {most} characters", shown(text)),
                );
            }
        };
        check("scope", oauth.scope.as_ref(), ' ', is_scope_word, MAX_SCOPE, SAY_SCOPE);
        check("extensions", oauth.extensions.as_ref(), ',', is_extension, MAX_EXTENSIONS, SAY_EXTENSIONS);
        let ca = oauth.ca_secret.as_ref().map(|ca| CaSecret::parse(ca, &format!("{AT}.caSecret"), problems));
        Self { token_url: url.clone(), scope: oauth.scope.clone(), extensions: oauth.extensions.clone(), ca }
    }

    /// librdkafka's settings with which it fetches and renews tokens by itself, but for the endpoint's authority.
    pub fn settings(&self, client_id: &str, client_secret: &str) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("sasl.oauthbearer.method", "oidc".to_owned()),
            ("sasl.oauthbearer.token.endpoint.url", self.token_url.clone()),
            ("sasl.oauthbearer.client.id", client_id.to_owned()),
            ("sasl.oauthbearer.client.secret", client_secret.to_owned()),
        ];
        if let Some(scope) = &self.scope {
            // It goes into the body of a form as it is.
            settings.push(("sasl.oauthbearer.scope", scope.replace(' ', "+")));
        }
        if let Some(extensions) = &self.extensions {
            settings.push(("sasl.oauthbearer.extensions", extensions.clone()));
        }
        settings
    }
}

fn is_scope_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/@".contains(&b))
}

fn is_extension(text: &str) -> bool {
    let Some((name, value)) = text.split_once('=') else { return false };
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphabetic())
        && name != "auth"
        && !value.is_empty()
        && value.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn librdkafka_is_told_all_that_it_sends() {
        let oauth = OAuth {
            token_url: "https://login.example.com/token".into(),
            scope: Some("kafka.read kafka.write".into()),
            extensions: Some("logicalCluster=lkc-1,identityPoolId=pool=1".into()),
            ca: None,
        };
        let settings = oauth.settings("me", "s");
        let told =
            |setting: &str| settings.iter().find(|(name, _)| *name == setting).map(|(_, value)| &**value);
        assert_eq!(told("sasl.oauthbearer.method"), Some("oidc"));
        assert_eq!(told("sasl.oauthbearer.scope"), Some("kafka.read+kafka.write"));
        let extensions = "logicalCluster=lkc-1,identityPoolId=pool=1";
        assert_eq!(told("sasl.oauthbearer.extensions"), Some(extensions));
        let bare = OAuth { scope: None, extensions: None, ..oauth };
        assert_eq!(bare.settings("me", "s").len(), 4);
    }
}
