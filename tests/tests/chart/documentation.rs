//! values.yaml, its schema and the table of the README say the same.

use std::collections::BTreeMap;

use serde_json::Value;
use worker_tests::harness::Chart;

fn file(name: &str) -> String {
    fs_err::read_to_string(Chart::folder().join(name)).unwrap()
}

#[tokio::test]
async fn each_key_is_explained_in_values_yaml() {
    let keys = Chart::keys().await;
    assert!(keys.len() > 150, "{}", keys.len());
    let bare: Vec<_> = keys.iter().filter(|key| key["text"] == "").map(|key| &key["key"]).collect();
    assert!(bare.is_empty(), "no comment above {bare:?}");
}

#[tokio::test]
async fn the_table_of_the_readme_is_that_of_values_yaml() {
    let rows = Chart::keys().await.into_iter().map(|key| {
        let text = |name: &str| key[name].as_str().unwrap().replace('|', "\\|");
        format!("| `{}` | `{}` | {} |\n", text("key"), text("default"), text("text"))
    });
    let wanted: String =
        std::iter::once("| key | default | meaning |\n|---|---|---|\n".to_owned()).chain(rows).collect();
    let (readme, begin) = (file("README.md"), "<!-- values -->\n");
    let (before, table) = readme.split_once(begin).unwrap();
    if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
        fs_err::write(Chart::folder().join("README.md"), format!("{before}{begin}{wanted}")).unwrap();
        return;
    }
    assert_eq!(table, wanted, "see the first lines of main.rs");
}

/// Descriptions by path; of what is open only the part that is described.
fn of_schema(schema: &Value, path: &str, into: &mut BTreeMap<String, String>) {
    if let Some(text) = schema["description"].as_str() {
        into.insert(path.to_owned(), text.to_owned());
    }
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        of_schema(schema, format!("{path}.{key}").trim_start_matches('.'), into);
    }
}

#[tokio::test]
async fn the_schema_describes_the_same_keys_in_the_same_words() {
    let mut described = BTreeMap::new();
    of_schema(&serde_json::from_str(&file("values.schema.json")).unwrap(), "", &mut described);
    let text = |key: &Value| key["text"].as_str().unwrap().trim_start_matches("(prefect-worker) ").to_owned();
    let wanted: BTreeMap<_, _> =
        Chart::keys().await.iter().map(|key| (key["key"].as_str().unwrap().to_owned(), text(key))).collect();
    assert_eq!(described, wanted);
}

#[tokio::test]
async fn the_chart_has_the_version_of_the_program_and_needs_no_other_chart() {
    let chart = Chart::read_yaml(&file("Chart.yaml")).await.remove(0);
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart.get("dependencies"), None);
}
