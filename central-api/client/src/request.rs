//! One call, ready to be sent as often as it takes.

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use url::Url;

use crate::error::ApiError;
use crate::retry::CallKind;

/// One call. The body is encoded once, so every try sends the same bytes: the server recognises a repeated proposal by the
/// transition id inside.
#[derive(Clone)]
pub(crate) struct Call {
    /// What the logs call it.
    pub(crate) name: &'static str,
    pub(crate) kind: CallKind,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) body: Option<Bytes>,
    /// Whether servers may do without this path: old ones, or ones behind a proxy that hides it.
    pub(crate) is_optional: bool,
}

impl Call {
    pub(crate) fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }

    pub(crate) fn query(mut self, key: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(key, value);
        self
    }

    pub(crate) fn json<T: Serialize + ?Sized>(self, body: &T) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(body).map_err(ApiError::Unencodable)?;
        Ok(self.raw_json(body.into()))
    }

    pub(crate) fn raw_json(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self
    }

    /// Whether the server wants a CSRF token for it.
    pub(crate) fn mutates(&self) -> bool {
        [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&self.method)
    }
}

/// The URL of an endpoint below the API's. Each part is one segment, whatever characters a name has; an empty last part
/// makes the trailing slash that the API's collections have.
pub(crate) fn endpoint(api_url: &Url, path: &[&str]) -> Url {
    let mut url = api_url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_one_segment_and_a_trailing_slash_of_the_api_makes_no_difference() {
        for base in ["http://host/api", "http://host/api/"] {
            let url = endpoint(&Url::parse(base).unwrap(), &["work_pools", "a b/c%?", "queues", "filter"]);
            assert_eq!(url.as_str(), "http://host/api/work_pools/a%20b%2Fc%25%3F/queues/filter");
            let url = endpoint(&Url::parse(base).unwrap(), &["logs", ""]);
            assert_eq!(url.as_str(), "http://host/api/logs/");
        }
    }
}
