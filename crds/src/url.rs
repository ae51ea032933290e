//! URLs that a secret may be sent to.

/// Returns what follows host and port: empty, or a slash and more. `None` unless the URL starts with `https://` (`http://`
/// for localhost, 127.0.0.1 and [::1] alone), a host without user, and perhaps a port.
pub(crate) fn after_host(url: &str) -> Option<&str> {
    let (is_encrypted, rest) = match url.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, url.strip_prefix("http://")?),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.rfind(']').map_or(0, |end| end + 1) {
        0 => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        end => (&authority[..end], authority[end..].strip_prefix(':')),
    };
    let is_here = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    let is_port = |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    let has_port = authority.len() > host.len();
    (is_host(host) && (is_encrypted || is_here) && (!has_port || port.is_some_and(is_port))).then_some(path)
}

/// A name, an IPv4 address or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => {
            !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b))
        }
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
    }
}
