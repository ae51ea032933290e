//! Which StockWatch is meant.

use std::fmt;
use std::str::FromStr;

/// The StockWatch of a worker, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl FromStr for Resource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_label = |part: &str| {
            (1..=63).contains(&part.len())
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        match text.split_once('/') {
            Some((namespace, name)) if is_label(namespace) && is_label(name) => {
                Ok(Self { namespace: namespace.into(), name: name.into() })
            }
            _ => Err("the StockWatch is named NAMESPACE/NAME, such as default/tech"),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_resource_is_named_by_namespace_and_name() {
        let resource: Resource = "default/tech".parse().unwrap();
        assert_eq!(resource.to_string(), "default/tech");
        assert!("tech".parse::<Resource>().is_err());
    }
}
