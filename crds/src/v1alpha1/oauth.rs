//! Where the tokens of OAUTHBEARER come from.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::secret::SecretKeyRef;
use crate::limits::{MAX_EXTENSIONS, MAX_SCOPE, MAX_URL};

pub(crate) const SAY_NEEDS_OAUTH: &str =
    "OAUTHBEARER needs oauth.tokenUrl, where its tokens come from; other mechanisms have no oauth";
// Where source.http asks, without a placeholder.
const IS_TOKEN_URL: &str = "self.matches('^(https://([A-Za-z0-9._-]+|\\\\[[0-9A-Fa-f:.]+\\\\])\
    |http://(localhost|127[.]0[.]0[.]1|\\\\[::1\\\\]))(:[0-9]{1,5})?(/[!$-~]*)?$')";
pub(crate) const SAY_TOKEN_URL: &str = "a token endpoint is https:// (http:// for localhost, 127.0.0.1 and [::1] alone), \
    a host, perhaps a port and a path, without user and fragment";
const IS_SCOPE: &str = "self.matches('^[-A-Za-z0-9._~:/@]+( [-A-Za-z0-9._~:/@]+)*$')";
pub(crate) const SAY_SCOPE: &str =
    "a scope is words of a-z, A-Z, 0-9, '-', '.', '_', '~', ':', '/' and '@', with one space between two";
const ARE_EXTENSIONS: &str = "self.matches('^[A-Za-z]+=[!-+.-\\\\[\\\\]-~-]+(,[A-Za-z]+=[!-+.-\\\\[\\\\]-~-]+)*$') \
    && !self.matches('(^|,)auth=')";
pub(crate) const SAY_EXTENSIONS: &str = "extensions are name=value, separated by commas without spaces: a name is letters, \
    but not auth, a value visible ASCII characters without comma and backslash";

/// Where the tokens of OAUTHBEARER come from: OpenID Connect, with client credentials.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OAuthSpec {
    /// The token endpoint, such as https://login.example.com/realms/kafka/protocol/openid-connect/token.
    #[schemars(length(min = 8, max = MAX_URL))]
    #[x_kube(validation = Rule::new(IS_TOKEN_URL).message(SAY_TOKEN_URL))]
    pub token_url: String,
    /// What a token is asked for. Absent: whatever the endpoint gives by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_SCOPE))]
    #[x_kube(validation = Rule::new(IS_SCOPE).message(SAY_SCOPE))]
    pub scope: Option<String>,
    /// What the brokers are told beside the token, such as logicalCluster=lkc-1,identityPoolId=pool-1 for Confluent Cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = MAX_EXTENSIONS))]
    #[x_kube(validation = Rule::new(ARE_EXTENSIONS).message(SAY_EXTENSIONS))]
    pub extensions: Option<String>,
    /// The certificate authority of the token endpoint. Absent: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret: Option<SecretKeyRef>,
}
