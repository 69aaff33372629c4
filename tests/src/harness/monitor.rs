//! What a daemon shows of itself over HTTP, as probes and Prometheus see it.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use reqwest::StatusCode;
use serde_json::Value;

use super::daemon::Daemon;
use super::wait::{SOON, until};

/// What a daemon logs before the address of its monitoring.
const SERVED: &str = "monitoring is served on ";

/// A client of a daemon's health and metrics.
#[derive(Clone, Debug)]
pub struct Monitor {
    url: String,
    client: reqwest::Client,
}

impl Monitor {
    /// Of a daemon that was started [`monitored`](super::DaemonSpec::monitored).
    pub async fn of(daemon: &Daemon) -> Self {
        let line = daemon.stderr.wait_for(SERVED, SOON).await;
        let (_, rest) = line.split_once(SERVED).expect("it was waited for");
        let url = rest.split_whitespace().next().unwrap_or_default().to_owned();
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().build().expect("a client without peculiarities");
        Self { url, client }
    }

    /// Status and body of a path.
    pub async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.expect("the daemon answers");
        (answer.status(), answer.text().await.expect("the daemon answers with text"))
    }

    /// The body of a path, once its status is this one.
    pub async fn until(&self, path: &str, status: StatusCode) -> Value {
        until(SOON, format!("{path} to be {status}"), async || {
            let (now, body) = self.get(path).await;
            (now == status).then(|| serde_json::from_str(&body).expect("health is told in JSON"))
        })
        .await
    }

    /// The metrics as they are now.
    pub async fn scrape(&self) -> Scrape {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, StatusCode::OK, "{text}");
        Scrape(text)
    }

    /// The metrics, once something is true of them.
    pub async fn scraped(&self, what: &str, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
        until(SOON, what, async || Some(self.scrape().await).filter(|scrape| is_so(scrape))).await
    }
}

/// The body of a scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrape(pub String);

impl Scrape {
    fn samples(&self) -> impl Iterator<Item = (&str, f64)> {
        let lines = self.0.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            (series, value.parse().expect("a value is a number"))
        })
    }

    /// Every series, with its labels.
    pub fn series(&self) -> BTreeSet<String> {
        self.samples().map(|(series, _)| series.to_owned()).collect()
    }

    /// The value of one series, written with all of its labels.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.samples().find(|(one, _)| *one == series).map(|(_, value)| value)
    }

    /// The sum of the series of a name that hold all of these labels, written as `label="value"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let is_one =
            |series: &str| series.split('{').next() == Some(name) && labels.iter().all(|label| series.contains(label));
        self.samples().filter(|(series, _)| is_one(series)).map(|(_, value)| value).sum()
    }
}

/// Runs Prometheus' own tool with `input` and returns whether it is content, and all that it said.
pub fn promtool(args: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new("promtool");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = command.spawn().expect("promtool is there: see `scripts/require promtool`");
    let mut stdin = tool.stdin.take().expect("its standard input is a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads its input");
    drop(stdin);
    let ended = tool.wait_with_output().expect("it ends");
    let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    (ended.status.success(), said)
}
