//! What placeholders and pull steps refer to, read from the API by commands that are there for people.

use central_api_client::Client;
use code_storage::Found;
use serde_json::Value;
use worker_core::template::Reference;

use crate::pulling;
use crate::run::ErrorChain;

/// A block or a variable; none if the API knows no such thing.
///
/// # Errors
/// The text of why it could not be read.
pub(crate) async fn fetch(client: &Client, reference: &Reference) -> Result<Option<Found>, String> {
    let fetched = match reference {
        Reference::Block { type_slug, name } => {
            client.block_by_name(type_slug, name).await.map(pulling::found).map(Some)
        }
        Reference::BlockById(id) => client.block_by_id(*id).await.map(pulling::found).map(Some),
        Reference::Variable(name) => client.variable(name).await.map(|found| found.map(|found| found.value.into())),
    };
    match fetched {
        Err(error) if error.is_not_found() => Ok(None),
        fetched => fetched.map_err(|error| format!("the {reference} could not be read: {}", ErrorChain(&error))),
    }
}

/// A block's data or a variable's value.
///
/// # Errors
/// As for [`fetch`].
pub(crate) async fn value(client: &Client, reference: &Reference) -> Result<Option<Value>, String> {
    Ok(fetch(client, reference).await?.map(|found| found.value))
}
