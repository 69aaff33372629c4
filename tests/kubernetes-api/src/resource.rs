//! The resources that are served, and the paths they are served at.

/// A kind of objects that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Resource {
    Jobs,
    Pods,
    Events,
    Secrets,
    Nodes,
    Namespaces,
    AccessReviews,
}

const ALL: [Resource; 7] = [
    Resource::Jobs,
    Resource::Pods,
    Resource::Events,
    Resource::Secrets,
    Resource::Nodes,
    Resource::Namespaces,
    Resource::AccessReviews,
];

impl Resource {
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Pods => "pods",
            Self::Events => "events",
            Self::Secrets => "secrets",
            Self::Nodes => "nodes",
            Self::Namespaces => "namespaces",
            Self::AccessReviews => "selfsubjectaccessreviews",
        }
    }

    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Jobs => "Job",
            Self::Pods => "Pod",
            Self::Events => "Event",
            Self::Secrets => "Secret",
            Self::Nodes => "Node",
            Self::Namespaces => "Namespace",
            Self::AccessReviews => "SelfSubjectAccessReview",
        }
    }

    pub(crate) fn group(self) -> &'static str {
        match self {
            Self::Jobs => "batch",
            Self::AccessReviews => "authorization.k8s.io",
            Self::Pods | Self::Events | Self::Secrets | Self::Nodes | Self::Namespaces => "",
        }
    }

    pub(crate) fn api_version(self) -> String {
        if self.group().is_empty() { "v1".to_owned() } else { format!("{}/v1", self.group()) }
    }

    /// `jobs.batch`, as messages say it.
    pub(crate) fn qualified(self) -> String {
        if self.group().is_empty() { self.plural().to_owned() } else { format!("{}.{}", self.plural(), self.group()) }
    }

    pub(crate) fn namespaced(self) -> bool {
        !matches!(self, Self::Nodes | Self::Namespaces | Self::AccessReviews)
    }

    /// Whether only its `status` subresource changes the status.
    pub(crate) fn has_status(self) -> bool {
        matches!(self, Self::Jobs | Self::Pods | Self::Nodes)
    }

    pub(crate) fn from_plural(plural: &str) -> Option<Self> {
        ALL.into_iter().find(|resource| resource.plural() == plural)
    }

    pub(crate) fn from_kind(kind: &str) -> Option<Self> {
        ALL.into_iter().find(|resource| resource.kind() == kind)
    }
}

/// What a path names.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) resource: Resource,
    /// Events are asked for in the newer API group, which has other field names.
    pub(crate) new_events: bool,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

impl Target {
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let mut segments = path.trim_matches('/').split('/').filter(|segment| !segment.is_empty());
        let group = match segments.next()? {
            "api" => "",
            "apis" => segments.next()?,
            _ => return None,
        };
        if segments.next()? != "v1" {
            return None;
        }
        let rest: Vec<&str> = segments.collect();
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
            rest => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, None, None),
            [plural, name] => (*plural, Some((*name).to_owned()), None),
            [plural, name, subresource] => (*plural, Some((*name).to_owned()), Some((*subresource).to_owned())),
            _ => return None,
        };
        let resource = Resource::from_plural(plural)?;
        let new_events = resource == Resource::Events && group == "events.k8s.io";
        if resource.group() != group && !new_events {
            return None;
        }
        Some(Self { resource, new_events, namespace, name, subresource })
    }

    /// `pods` or `pods/log`, as access rules say it.
    pub(crate) fn rule_name(&self) -> String {
        let plural = self.resource.plural();
        self.subresource.as_ref().map_or_else(|| plural.to_owned(), |sub| format!("{plural}/{sub}"))
    }
}
