//! Which credentials `boto3` would take: decided from the environment and the profiles, without asking anybody.

use crate::objects::options::FetchOptions;
use crate::objects::request::{AssumedRole, AwsCredentials, AwsKeys, S3};
use crate::objects::wire::{Cause, Failure};

use super::profiles::{Profile, Profiles};

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Keys(AwsKeys),
    Role {
        from: Box<Self>,
        role: AssumedRole,
    },
    WebIdentity {
        token_file: String,
        role: AssumedRole,
    },
    /// The container's role, if there is one; or else the machine's.
    Machine {
        container: bool,
        instance: bool,
    },
}

/// The most roles that lead to one another.
const MOST_ROLES: usize = 8;

/// What a profile may have that only the SDK can use.
const OF_THE_SDK: &[(&str, &str)] = &[
    ("credential_process", "its profile has a `credential_process`"),
    ("login_session", "its profile has a login session"),
    ("mfa_serial", "its profile asks for a code"),
    ("sso_session", "its profile signs on at another place"),
    ("sso_start_url", "its profile signs on at another place"),
];

/// The keys of a request; none if it is not to be signed.
pub(super) fn origin(s3: &S3, options: &FetchOptions, profiles: &Profiles) -> Result<Option<Origin>, Failure> {
    let found = match &s3.credentials {
        AwsCredentials::Anonymous => return Ok(None),
        AwsCredentials::Keys(keys) => Origin::Keys(keys.clone()),
        AwsCredentials::Profile(name) => of_profile(name, options, profiles, true)?,
        AwsCredentials::Ambient => match variables(options) {
            Some(keys) => Origin::Keys(keys),
            None => of_profile(profile_name(options), options, profiles, false)?,
        },
    };
    Ok(Some(match &s3.role {
        Some(role) => Origin::Role { from: Box::new(found), role: role.clone() },
        None => found,
    }))
}

/// The profile that applies when none is named.
pub(super) fn profile_name(options: &FetchOptions) -> &str {
    options.variable("AWS_PROFILE").or_else(|| options.variable("AWS_DEFAULT_PROFILE")).unwrap_or("default")
}

fn of_profile(name: &str, options: &FetchOptions, profiles: &Profiles, explicit: bool) -> Result<Origin, Failure> {
    let none = Profile::new();
    let profile = match profiles.get(name) {
        Some(profile) => profile,
        None if name == "default" && !explicit => &none,
        None => return Err(Failure::new(Cause::NoCredentials, format!("there is no profile `{name}`"))),
    };
    if let Some(role) = role(profile)
        && !profile.contains_key("web_identity_token_file")
    {
        let from = source(name, profile, options, profiles, 0)?;
        return Ok(Origin::Role { from: Box::new(from), role });
    }
    let setting = |key: &str, variable: &str| {
        let of_the_environment = options.variable(variable).filter(|_| !explicit);
        of_the_environment.or_else(|| profile.get(key).map(String::as_str)).map(str::to_owned)
    };
    if let (Some(token_file), Some(arn)) =
        (setting("web_identity_token_file", "AWS_WEB_IDENTITY_TOKEN_FILE"), setting("role_arn", "AWS_ROLE_ARN"))
    {
        let session = setting("role_session_name", "AWS_ROLE_SESSION_NAME");
        let parameters = session.map(|name| ("RoleSessionName".to_owned(), name)).into_iter().collect();
        return Ok(Origin::WebIdentity { token_file, role: AssumedRole { arn, parameters } });
    }
    if let Some(keys) = keys(profile) {
        return Ok(Origin::Keys(keys));
    }
    if let Some((_, reason)) = OF_THE_SDK.iter().find(|(key, _)| profile.contains_key(*key)) {
        return Err(Failure::left_to_prefect(reason));
    }
    if options.variable("BOTO_CONFIG").is_some() || options.variable("AWS_CREDENTIAL_FILE").is_some() {
        return Err(Failure::left_to_prefect("its credentials are in a file of an old kind"));
    }
    Ok(Origin::Machine { container: true, instance: true })
}

/// What a profile's role is assumed with.
fn source(
    name: &str,
    profile: &Profile,
    options: &FetchOptions,
    profiles: &Profiles,
    depth: usize,
) -> Result<Origin, Failure> {
    if let Some((_, reason)) = OF_THE_SDK.iter().find(|(key, _)| profile.contains_key(*key)) {
        return Err(Failure::left_to_prefect(reason));
    }
    match (profile.get("source_profile"), profile.get("credential_source").map(String::as_str)) {
        (Some(source_name), None) => {
            let missing = || Failure::new(Cause::NoCredentials, format!("there is no profile `{source_name}`"));
            let source_profile = profiles.get(source_name).ok_or_else(missing)?;
            if let Some(keys) = keys(source_profile) {
                return Ok(Origin::Keys(keys));
            }
            match role(source_profile) {
                Some(role) if source_name != name && depth < MOST_ROLES => {
                    let from = source(source_name, source_profile, options, profiles, depth + 1)?;
                    Ok(Origin::Role { from: Box::new(from), role })
                }
                _ => {
                    Err(Failure::left_to_prefect("the source of its role is of a kind that this worker does not know"))
                }
            }
        }
        (None, Some("Environment")) => variables(options).map(Origin::Keys).ok_or_else(|| {
            Failure::new(Cause::NoCredentials, format!("the profile `{name}` wants keys of the environment"))
        }),
        (None, Some("EcsContainer")) => Ok(Origin::Machine { container: true, instance: false }),
        (None, Some("Ec2InstanceMetadata")) => Ok(Origin::Machine { container: false, instance: true }),
        _ => Err(Failure::left_to_prefect("the source of its role is of a kind that this worker does not know")),
    }
}

fn role(profile: &Profile) -> Option<AssumedRole> {
    let parameter = |key: &str, name: &str| profile.get(key).map(|value| (name.to_owned(), value.clone()));
    Some(AssumedRole {
        arn: profile.get("role_arn")?.clone(),
        parameters: [
            parameter("role_session_name", "RoleSessionName"),
            parameter("external_id", "ExternalId"),
            parameter("duration_seconds", "DurationSeconds"),
        ]
        .into_iter()
        .flatten()
        .collect(),
    })
}

fn keys(profile: &Profile) -> Option<AwsKeys> {
    Some(AwsKeys {
        id: profile.get("aws_access_key_id")?.clone(),
        secret: profile.get("aws_secret_access_key")?.as_str().into(),
        token: profile
            .get("aws_session_token")
            .or_else(|| profile.get("aws_security_token"))
            .map(|token| token.as_str().into()),
    })
}

fn variables(options: &FetchOptions) -> Option<AwsKeys> {
    Some(AwsKeys {
        id: options.variable("AWS_ACCESS_KEY_ID")?.to_owned(),
        secret: options.variable("AWS_SECRET_ACCESS_KEY")?.into(),
        token: options.variable("AWS_SESSION_TOKEN").or_else(|| options.variable("AWS_SECURITY_TOKEN")).map(Into::into),
    })
}
