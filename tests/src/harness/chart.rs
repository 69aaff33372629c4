//! The Helm chart, as Helm itself sees it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::binary::{charts_python, workspace_root};

/// What a release consists of.
#[derive(Clone, Debug, Deserialize)]
pub struct Rendered {
    /// All of it as text.
    pub manifest: String,
    /// Its objects.
    pub objects: Vec<Value>,
    /// What is said to the person who installs it.
    pub notes: String,
}

impl Rendered {
    /// The objects of a kind.
    pub fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.objects.iter().filter(|object| object["kind"] == kind).collect()
    }

    /// The object that has the pods of the worker.
    pub fn workload(&self) -> &Value {
        let all = [self.of_kind("Deployment"), self.of_kind("StatefulSet")].concat();
        assert_eq!(all.len(), 1, "one of them has the worker");
        all[0]
    }

    /// The first container of it: the worker.
    pub fn container(&self) -> &Value {
        &self.workload()["spec"]["template"]["spec"]["containers"][0]
    }

    /// The settings file of the worker.
    pub fn worker_toml(&self) -> &str {
        let text = self.of_kind("ConfigMap").into_iter().find_map(|map| map["data"]["worker.toml"].as_str());
        text.expect("a release has settings")
    }
}

/// The chart of the checkout and a release of it. Its name is `release`.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Namespace of the release.
    pub namespace: String,
}

impl Chart {
    /// In a namespace.
    pub fn in_namespace(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned() }
    }

    /// Where it is.
    pub fn folder() -> PathBuf {
        workspace_root().join("deploy/helm/worker")
    }

    /// The values files of its tests: their names without `.yaml`, and what they hold.
    pub async fn values_files() -> BTreeMap<String, Value> {
        let names = Self::names_of_files();
        let texts = names.iter().map(|name| json!({"text": text_of_file(name)})).collect();
        let documents = ask_all("read_yaml", texts).await;
        names.into_iter().zip(documents.into_iter().map(|documents| documents[0].clone())).collect()
    }

    fn names_of_files() -> Vec<String> {
        let files = fs_err::read_dir(Self::folder().join("ci")).expect("the chart has values files");
        let name = |file: PathBuf| file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        let mut names: Vec<String> = files.filter_map(|file| name(file.ok()?.path())).collect();
        names.sort();
        names
    }

    /// What one of these files holds.
    pub async fn values(name: &str) -> Value {
        Self::read_yaml(&text_of_file(name)).await.remove(0)
    }

    /// YAML as JSON, one value for each document.
    pub async fn read_yaml(text: &str) -> Vec<Value> {
        serde_json::from_value(ask("read_yaml", &json!({"text": text})).await).expect("a list of documents")
    }

    /// What a release with these values consists of.
    ///
    /// # Errors
    /// What Helm says where it refuses the values.
    pub async fn render(&self, values: &Value) -> Result<Rendered, String> {
        let answer = ask("render", &self.request(values)).await;
        match answer["refused"].as_str() {
            Some(refusal) => Err(refusal.to_owned()),
            None => Ok(serde_json::from_value(answer).expect("what a release consists of")),
        }
    }

    /// What a release with each of the values files consists of.
    pub async fn render_files(&self) -> BTreeMap<String, Rendered> {
        let files = Self::values_files().await;
        let requests = files.values().map(|values| self.request(values)).collect();
        let rendered = ask_all("render", requests).await.into_iter().zip(files.keys()).map(|(answer, name)| {
            let rendered = serde_json::from_value(answer.clone());
            (name.clone(), rendered.unwrap_or_else(|error| panic!("{name}: {error}: {answer}")))
        });
        rendered.collect()
    }

    /// What `helm lint --strict` finds in each of the values files: a list of messages, each with a severity of which 1 is
    /// information.
    pub async fn lint_files(&self) -> BTreeMap<String, Value> {
        let files = Self::values_files().await;
        let requests = files.values().map(|values| self.request(values)).collect();
        files.into_keys().zip(ask_all("lint", requests).await).collect()
    }

    /// What a version of Kubernetes would complain about.
    pub async fn complaints(objects: &[Value], version: &str) -> Vec<String> {
        let request = json!({"objects": objects, "version": version});
        serde_json::from_value(ask("validate", &request).await).expect("a list of complaints")
    }

    /// The objects of releases as they are for the version of a cluster, which must know their kinds.
    pub async fn for_cluster(&self, kubeconfig: &Path, values: impl IntoIterator<Item = &Value>) -> Vec<Vec<Value>> {
        let requests = values.into_iter().map(|values| {
            let mut request = self.request(values);
            request["kubeconfig"] = json!(kubeconfig);
            request
        });
        let objects = ask_all("on_cluster", requests.collect()).await.into_iter().map(|answer| {
            serde_json::from_value(answer["objects"].clone()).unwrap_or_else(|error| panic!("{error}: {answer}"))
        });
        objects.collect()
    }

    /// `helm install --wait`, or `helm upgrade --wait` where it is there already.
    pub async fn install(&self, kubeconfig: &Path, values: &Value, again: bool) {
        let mut request = self.request(values);
        request["kubeconfig"] = json!(kubeconfig);
        request["again"] = json!(again);
        request["wait"] = json!("legacy");
        request["timeout"] = json!(120);
        let answer = ask("install", &request).await;
        assert_eq!(answer["refused"], Value::Null, "Helm cannot install it");
    }

    /// `helm uninstall`. Does not wait for the end of the pods.
    pub async fn uninstall(&self, kubeconfig: &Path) {
        let request = json!({"kubeconfig": kubeconfig, "release": "release", "namespace": self.namespace});
        let answer = ask("uninstall", &request).await;
        assert_eq!(answer["refused"], Value::Null, "Helm cannot uninstall it");
    }

    /// Each key of values.yaml: `key`, `default` as JSON text, and the `text` above it.
    pub async fn keys() -> Vec<Value> {
        let answer = ask("described", &json!({"values_file": Self::folder().join("values.yaml")})).await;
        serde_json::from_value(answer).expect("a list of keys")
    }

    fn request(&self, values: &Value) -> Value {
        json!({"chart": Self::folder(), "values": values, "release": "release", "namespace": self.namespace})
    }
}

fn text_of_file(name: &str) -> String {
    fs_err::read_to_string(Chart::folder().join(format!("ci/{name}.yaml"))).expect("the file is there")
}

async fn ask_all(command: &str, requests: Vec<Value>) -> Vec<Value> {
    let answers = ask("batch", &json!({"command": command, "requests": requests})).await;
    serde_json::from_value(answers).expect("a list of answers")
}

async fn ask(command: &str, request: &Value) -> Value {
    let mut child = Command::new(charts_python())
        .arg(workspace_root().join("tests/python/chart.py"))
        .arg(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the locked Python environment can be started");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    stdin.write_all(request.to_string().as_bytes()).await.expect("it reads its request");
    drop(stdin);
    let ended = child.wait_with_output().await.expect("it ends");
    let complaint = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "chart.py {command}: {complaint}");
    serde_json::from_slice(&ended.stdout).unwrap_or_else(|error| panic!("chart.py {command}: {error}: {complaint}"))
}
