//! Calls about the server itself.

use http::Method;

use super::json;
use crate::{ApiError, CallKind, Client};

impl Client {
    /// The server's version, such as `3.8.4`. [`CallKind::Read`]. `GET /admin/version`; proxies may refuse it.
    pub async fn server_version(&self) -> Result<String, ApiError> {
        let call =
            self.call(CallKind::Read, Method::GET, "read the server's version", &["admin", "version"]).optional();
        self.exchange(call, json).await
    }
}
