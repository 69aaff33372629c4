//! The events of a container, as Prefect's Docker worker emits them: one when it is first seen in a state.

use std::collections::BTreeMap;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum as Status};
use infra_contract::Occurrence;
use jiff::Timestamp;
use uuid::Uuid;

use crate::ending::time;
use crate::handle::Container;

/// What has been told of a container.
#[derive(Debug, Default)]
pub(crate) struct Told {
    states: Vec<String>,
    last: Option<Uuid>,
}

impl Told {
    /// What is new about a container. That it was made is always told first, and that it ran before how it is now: a short
    /// one is over before it is looked at.
    pub(crate) fn news(&mut self, container: &Container, found: &ContainerInspectResponse) -> Vec<Occurrence> {
        let state = found.state.as_ref();
        let created = found.created.as_deref().and_then(|created| created.parse().ok());
        let started = state.and_then(|state| time(state.started_at.as_deref()));
        let finished = state.and_then(|state| time(state.finished_at.as_deref()));
        let mut news = vec![("created".to_owned(), created)];
        if started.is_some() {
            news.push(("running".to_owned(), started));
        }
        match state.and_then(|state| state.status) {
            Some(Status::CREATED | Status::RUNNING | Status::EMPTY) | None => {}
            Some(status @ (Status::EXITED | Status::DEAD)) => news.push((status.to_string(), finished)),
            Some(status @ (Status::PAUSED | Status::RESTARTING | Status::REMOVING | Status::STOPPING)) => {
                news.push((status.to_string(), None));
            }
        }
        news.into_iter().filter_map(|(status, at)| self.tell(container, &status, at)).collect()
    }

    fn tell(&mut self, container: &Container, status: &str, at: Option<Timestamp>) -> Option<Occurrence> {
        if self.states.iter().any(|told| told == status) {
            return None;
        }
        self.states.push(status.to_owned());
        let id = container.marks.key.derived(&format!("docker.{status}"));
        Some(Occurrence {
            id,
            event: format!("prefect.docker.container.{status}"),
            occurred: at.unwrap_or_else(Timestamp::now),
            resource: BTreeMap::from([
                ("prefect.resource.id".to_owned(), format!("prefect.docker.container.{}", container.id)),
                ("prefect.resource.name".to_owned(), container.name.clone()),
            ]),
            follows: self.last.replace(id),
            related: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(status: &str, started: &str) -> ContainerInspectResponse {
        let state = json!({"Status": status, "StartedAt": started, "FinishedAt": "2026-11-26T01:00:02Z"});
        serde_json::from_value(json!({"Created": "2026-11-26T01:00:00Z", "State": state})).unwrap()
    }

    #[test]
    fn c099_each_state_is_told_once_and_follows_the_one_before() {
        let labels = [("io.prefect.flow-run-id".to_owned(), Uuid::nil().to_string())].into();
        let marks = crate::marks::Marks::of_foreign(&labels).unwrap();
        let container = Container { id: "abc".to_owned(), name: "cute-crab".to_owned(), marks };
        let mut told = Told::default();
        let names = |news: &[Occurrence]| news.iter().map(|news| news.event.clone()).collect::<Vec<_>>();
        let first = told.news(&container, &found("created", "0001-01-01T00:00:00Z"));
        assert_eq!(names(&first), ["prefect.docker.container.created"]);
        assert_eq!(first[0].resource["prefect.resource.id"], "prefect.docker.container.abc");
        assert_eq!(first[0].resource["prefect.resource.name"], "cute-crab");
        let last = told.news(&container, &found("exited", "2026-11-26T01:00:01Z"));
        assert_eq!(names(&last), ["prefect.docker.container.running", "prefect.docker.container.exited"]);
        assert_eq!(last[0].follows, Some(first[0].id));
        assert_eq!(last[1].follows, Some(last[0].id));
        assert_eq!(last[1].occurred, "2026-11-26T01:00:02Z".parse().unwrap());
        assert_eq!(told.news(&container, &found("exited", "2026-11-26T01:00:01Z")), []);
    }
}
