//! CSRF tokens, one a client.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::Tables;

/// The token of a client.
#[derive(Clone)]
pub(crate) struct CsrfRow {
    pub(crate) id: Uuid,
    pub(crate) token: String,
    pub(crate) expires: Timestamp,
}

/// How long a token holds.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);

impl Tables {
    /// A new token for a client; its old one is void.
    pub(crate) fn renew_csrf_token(&mut self, client: &str, now: Timestamp) -> CsrfRow {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let row = CsrfRow { id: Uuid::new_v4(), token, expires: now + LIFETIME };
        self.csrf.insert(client.to_owned(), row.clone());
        row
    }

    pub(crate) fn is_csrf_token(&self, client: &str, token: &str, now: Timestamp) -> bool {
        self.csrf.get(client).is_some_and(|row| row.token == token && row.expires > now)
    }

    /// Voids all tokens, as a restart of the server with fresh tables would.
    pub fn forget_csrf_tokens(&mut self) {
        self.csrf.clear();
    }
}
