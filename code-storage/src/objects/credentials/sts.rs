//! Amazon's service that gives keys for roles.

use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use serde::Deserialize;
use url::Url;
use url::form_urlencoded;

use super::keyring::{Given, Temporary};
use crate::objects::request::AssumedRole;
use crate::objects::wire::{Cause, Failure, Http, aws_suffix};

#[derive(Debug)]
pub(super) struct Sts {
    pub(super) http: Http,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<Url>,
}

impl Sts {
    /// Keys for a role, for who has keys that may assume it.
    pub(super) async fn assume(&self, role: &AssumedRole, keys: &AwsCredential) -> Result<Temporary, Failure> {
        let mut asked = self.request("AssumeRole", role, None)?;
        let region = self.region.as_deref().unwrap_or("us-east-1");
        AwsAuthorizer::new(keys, "sts", region).try_authorize(&mut asked, None)?;
        self.ask(asked).await
    }

    /// Keys for a role, for who has a token of an identity that may assume it.
    pub(super) async fn assume_with_token(&self, role: &AssumedRole, token: &str) -> Result<Temporary, Failure> {
        self.ask(self.request("AssumeRoleWithWebIdentity", role, Some(token))?).await
    }

    fn request(&self, action: &str, role: &AssumedRole, token: Option<&str>) -> Result<HttpRequest, Failure> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action).append_pair("Version", "2011-06-15").append_pair("RoleArn", &role.arn);
        if !role.parameters.iter().any(|(name, _)| name == "RoleSessionName") {
            form.append_pair("RoleSessionName", "prefect-worker");
        }
        form.extend_pairs(&role.parameters);
        if let Some(token) = token {
            form.append_pair("WebIdentityToken", token);
        }
        http::Request::post(self.url()?)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(HttpRequestBody::from(form.finish()))
            .map_err(|_| Failure::left_to_prefect("the endpoint of its role is not a URL"))
    }

    fn url(&self) -> Result<String, Failure> {
        match (&self.endpoint, &self.region) {
            (Some(endpoint), _) => Ok(endpoint.to_string()),
            (None, Some(region)) => Ok(format!("https://sts.{region}.{}/", aws_suffix(region)?)),
            (None, None) => Ok("https://sts.amazonaws.com/".to_owned()),
        }
    }

    async fn ask(&self, asked: HttpRequest) -> Result<Temporary, Failure> {
        let answer = self.http.post(asked).await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            let said = quick_xml::de::from_str::<Refusal>(&text).map(|refusal| refusal.error).unwrap_or_default();
            let cause = match said.code.as_str() {
                "Throttling" | "InternalFailure" | "ServiceUnavailable" | "IDPCommunicationError" => Cause::Unreachable,
                _ if status.is_server_error() || status.as_u16() == 429 => Cause::Unreachable,
                "AccessDenied" => Cause::Denied,
                "InvalidClientTokenId" | "SignatureDoesNotMatch" | "ExpiredToken" | "ExpiredTokenException" => {
                    Cause::CredentialsRefused
                }
                _ => Cause::NoCredentials,
            };
            let detail = match said.code.as_str() {
                "" => format!("assuming a role gave status {status}"),
                code => format!("assuming a role gave {code}: {}", said.message),
            };
            return Err(Failure::new(cause, detail));
        }
        let unread = |_| Failure::new(Cause::NoCredentials, "the answer to assuming a role is not one of STS");
        Ok(quick_xml::de::from_str::<Answer>(&text).map_err(unread)?.result.credentials.into())
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "AssumeRoleResult", alias = "AssumeRoleWithWebIdentityResult")]
    result: AnswerResult,
}

#[derive(Deserialize)]
struct AnswerResult {
    #[serde(rename = "Credentials")]
    credentials: Given,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "Error")]
    error: Said,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Said {
    code: String,
    message: String,
}
