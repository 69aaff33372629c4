use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn env() -> BTreeMap<String, String> {
    BTreeMap::from([("EV".to_owned(), "envval".to_owned())])
}

fn values() -> Map<String, Value> {
    object(json!({
        "a": 1, "b": true, "n": null, "f": 1.0, "d": {"x": [1, {"y": "z"}]}, "l": [1, "q"], "s": "st",
    }))
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("not an object: {value}") };
    object
}

fn substituted(template: &Value) -> Option<Value> {
    substitute(template, &values(), &env()).unwrap()
}

fn assert_substitutions(table: &[(Value, Value)]) {
    for (template, expected) in table {
        assert_eq!(substituted(template).as_ref(), Some(expected), "{template}");
    }
}

/// Resolves with a server that knows these blocks (`slug/name` or id) and variables.
fn resolved(template: Value, blocks: &Value, variables: &Value) -> Result<Value, TemplateError> {
    let mut resolution = Resolution::new(template)?;
    while let Some(reference) = resolution.pending().first().cloned() {
        let data = match &reference {
            Reference::Block { type_slug, name } => blocks.get(format!("{type_slug}/{name}")),
            Reference::BlockById(id) => blocks.get(id.to_string()),
            Reference::Variable(name) => variables.get(name),
        };
        resolution.provide(&reference, data.cloned())?;
    }
    resolution.finish()
}

fn block_error(template: Value, blocks: &Value) -> String {
    resolved(template, blocks, &json!({})).unwrap_err().to_string()
}

#[test]
fn c069_whole_value_placeholder_keeps_its_type_and_inline_is_python_text() {
    assert_substitutions(&[
        (json!("{{ a }}"), json!(1)),
        (json!("{{a}}"), json!(1)),
        (json!("{{ n }}"), json!(null)),
        (json!("{{ f }}"), json!(1.0)),
        (json!("{{ d }}"), json!({"x": [1, {"y": "z"}]})),
        (json!("{{ d.x[1].y }}"), json!("z")),
        (json!("{{ d.x.0 }}"), json!(1)),
        (json!("x{{ a }}"), json!("x1")),
        (json!("{{ b }}!"), json!("True!")),
        (json!("x{{ n }}"), json!("xNone")),
        (json!("f={{ f }}"), json!("f=1.0")),
        (json!("y{{ d }}"), json!("y{'x': [1, {'y': 'z'}]}")),
        (json!("y{{ l }}"), json!("y[1, 'q']")),
        (json!("{{ a }}{{ a }}"), json!("11")),
        (json!("{{ a b }}"), json!("{{ a b }}")),
        (json!("{{}}"), json!("{{}}")),
    ]);
}

#[test]
fn c070_missing_value_removes_its_key_or_element_and_blanks_inline() {
    assert_eq!(substituted(&json!("{{ missing }}")), None);
    assert_substitutions(&[
        (json!("x{{ missing }}y"), json!("xy")),
        (json!(["{{ missing }}", "{{ a }}"]), json!([1])),
        (json!({"k": "{{ missing }}", "j": ["{{ missing }}"], "m": {"z": "{{ missing }}"}}), json!({"j": [], "m": {}})),
        (json!({"null stays": "{{ n }}"}), json!({"null stays": null})),
    ]);
}

#[test]
fn c071_dollar_names_come_from_the_workers_environment_as_text() {
    assert_substitutions(&[
        (json!("{{ $EV }}"), json!("envval")),
        (json!("{{ $$EV }}"), json!("envval")),
        (json!("a {{ $EV }} b"), json!("a envval b")),
        (json!("{{ $NOPE }}"), json!("")),
    ]);
}

#[test]
fn c072_blocks_resolve_by_name_and_reference_with_unwrapping_and_paths() {
    const ID: &str = "7d3bbd9b-5a6c-4f4c-9d0e-3c1f0a1e2b3c";
    let blocks = json!({
        "secret/tok": {"value": "hush"},
        "json/cfg": {"value": {"host": "h", "ports": [1, 2]}},
        "aws/creds": {"key": "k", "n": 7, "nested": {"deep": "{{ prefect.blocks.secret.tok }}"}},
        ID: {"value": {"url": "u"}},
    });
    for (template, expected) in [
        ("{{ prefect.blocks.secret.tok }}", json!("hush")),
        ("t-{{ prefect.blocks.secret.tok }}", json!("t-hush")),
        ("{{ prefect.blocks.secret.tok.value }}", json!("hush")),
        ("{{ prefect.blocks.json.cfg }}", json!({"host": "h", "ports": [1, 2]})),
        ("{{ prefect.blocks.json.cfg.ports[1] }}", json!(2)),
        ("{{ prefect.blocks.json.cfg.value.host }}", json!("h")),
        ("{{ prefect.blocks.aws.creds.n }}", json!(7)),
        ("{{ prefect.blocks.aws.creds.n }}/{{ prefect.blocks.secret.tok }}", json!("7/hush")),
        ("{{ prefect.blocks.aws.creds.nested.deep }}", json!("{{ prefect.blocks.secret.tok }}")),
    ] {
        assert_eq!(resolved(json!([template]), &blocks, &json!({})).unwrap(), json!([expected]), "{template}");
    }
    let by_id = json!({"creds": {"$ref": {"block_document_id": ID}, "title": "dropped"}});
    assert_eq!(resolved(by_id, &blocks, &json!({})).unwrap(), json!({"creds": {"value": {"url": "u"}}}));

    assert_eq!(
        block_error(json!({"image": ["x-{{ prefect.blocks.json.cfg }}"]}), &blocks),
        "in `image.0`: block placeholder `{{ prefect.blocks.json.cfg }}` stands within text but its value is an object \
         or array"
    );
}

#[test]
fn c072_faulty_block_references_are_named() {
    let blocks = json!({"secret/tok": {"value": "hush"}});
    for (template, message) in [
        (json!("{{ prefect.blocks.secret.gone }}"), "in `at`: block `gone` of type `secret` does not exist"),
        (
            json!("{{ prefect.blocks.secret.tok.user }}"),
            "in `at`: block placeholder `{{ prefect.blocks.secret.tok.user }}`: the block's data has no `user`",
        ),
        (
            json!("{{ prefect.blocks.secret }}"),
            "in `at`: block placeholder `{{ prefect.blocks.secret }}` does not name a block type and a block",
        ),
        (json!({"$ref": {"block_document_id": "../flows"}}), "in `at`: `$ref.block_document_id` is not a UUID"),
    ] {
        let message_found = block_error(json!({"at": template}), &blocks);
        assert_eq!(message_found, message);
        assert!(!message_found.contains("hush"));
    }
}

#[test]
fn c073_variables_resolve_to_their_value_and_missing_ones_to_nothing() {
    let variables = json!({"vv": {"a": [1, 2]}, "name": "it", "null": null});
    for (template, expected) in [
        ("{{ prefect.variables.vv }}", json!({"a": [1, 2]})),
        ("x{{ prefect.variables.vv }}", json!("x{'a': [1, 2]}")),
        ("{{ prefect.variables.vv.a }}", json!("")),
        ("{{ prefect.variables.missing }}", json!("")),
        ("a{{ prefect.variables.missing }}b", json!("ab")),
        ("{{ prefect.variables.name }}{{ prefect.variables.name }}", json!("itit")),
        ("{{ prefect.variables.null }}", json!(null)),
        ("{{ prefect.variables. }}", json!("")),
    ] {
        assert_eq!(
            resolved(json!({"k": template}), &json!({}), &variables).unwrap(),
            json!({"k": expected}),
            "{template}"
        );
    }
}

#[test]
fn passes_scan_the_results_of_earlier_passes_but_never_their_own() {
    let values = object(json!({
        "x": "{{ a }}", "a": 1, "v": "{{ prefect.variables.v }}", "b": "{{ prefect.blocks.secret.b }}",
    }));
    let filled = substitute(&json!(["{{ x }}", "-{{ x }}", "{{ v }}", "{{ b }}"]), &values, &env()).unwrap().unwrap();
    assert_eq!(filled, json!(["{{ a }}", "-{{ a }}", "{{ prefect.variables.v }}", "{{ prefect.blocks.secret.b }}"]));
    let blocks = json!({"secret/b": {"value": "b {{ prefect.variables.v }} {{ prefect.blocks.no }}"}});
    let variables = json!({"v": "{{ prefect.variables.w }}"});
    assert_eq!(
        resolved(filled, &blocks, &variables).unwrap(),
        json!([
            "{{ a }}",
            "-{{ a }}",
            "{{ prefect.variables.w }}",
            "b {{ prefect.variables.w }} {{ prefect.blocks.no }}",
        ])
    );
}

#[test]
fn keys_are_never_filled_in() {
    assert_substitutions(&[(json!({"{{ a }}": "{{ a }}"}), json!({"{{ a }}": 1}))]);
}

#[test]
fn paths_follow_python_indexing() {
    assert_substitutions(&[
        (json!("{{ l.-1 }}"), json!("q")),
        (json!("{{ l[0_0] }}"), json!(1)),
        (json!("{{ s.0 }}"), json!("s")),
        (json!("{{ s[-1] }}"), json!("t")),
        (json!("x{{ l.2 }}{{ l.-3 }}{{ l.99999999999999999999 }}{{ a.b }}{{ d.0 }}{{ s. }}{{ l..0 }}"), json!("x")),
        (json!("{{{ s }}}"), json!("{st}")),
        (json!("{{ {{ s }} }}"), json!("{{ st }}")),
    ]);
}

#[test]
fn python_text_matches_the_repr_of_python() {
    for (value, text) in [
        (json!(1e16), "1e+16"),
        (json!(9_999_999_999_999_998.0), "9999999999999998.0"),
        (json!(1e-5), "1e-05"),
        (json!(0.0001), "0.0001"),
        (json!(0.1), "0.1"),
        (json!(-0.0), "-0.0"),
        (json!(5e-324), "5e-324"),
        (json!(1.797_693_134_862_315_7e308), "1.7976931348623157e+308"),
        (json!(18_446_744_073_709_551_615_u64), "18446744073709551615"),
        (json!("plain 'text'"), "plain 'text'"),
        (json!([false, null, {}]), "[False, None, {}]"),
        (json!(["it's"]), r#"["it's"]"#),
        (json!(["a\"b'\n\r\t\\"]), r#"['a"b\'\n\r\t\\']"#),
        (json!(["\u{0}\u{7f}\u{a0}\u{200b}\u{e000}\u{10ffff} é😀"]), r"['\x00\x7f\xa0\u200b\ue000\U0010ffff é😀']"),
        (json!({"k": 1, "é": "v"}), "{'k': 1, 'é': 'v'}"),
    ] {
        assert_eq!(python_str(&value), text);
    }
}

#[test]
fn each_reference_is_asked_for_once_and_block_data_may_ask_for_variables() {
    let template = json!([
        "{{ prefect.blocks.secret.a }}",
        "{{ prefect.variables.v }} {{ prefect.blocks.secret.a.value }} {{ prefect.variables.v }}",
    ]);
    let block = Reference::Block { type_slug: "secret".to_owned(), name: "a".to_owned() };
    let variable = |name: &str| Reference::Variable(name.to_owned());
    assert_eq!(references(&template).unwrap(), [block.clone(), variable("v")]);

    let mut resolution = Resolution::new(template).unwrap();
    resolution.provide(&variable("v"), Some(json!("V"))).unwrap();
    assert_eq!(resolution.pending(), std::slice::from_ref(&block));
    let data = json!({"value": "{{ prefect.variables.v }}{{ prefect.variables.w }}"});
    resolution.provide(&block, Some(data)).unwrap();
    assert_eq!(resolution.pending(), [variable("w")], "v is known already");
    resolution.provide(&variable("unasked"), Some(json!("ignored"))).unwrap();
    resolution.provide(&variable("w"), None).unwrap();
    assert_eq!(resolution.finish().unwrap(), json!(["V", "V V V"]));
}

#[test]
fn finishing_too_early_is_an_error() {
    let resolution = Resolution::new(json!("{{ prefect.variables.v }}")).unwrap();
    assert_eq!(resolution.finish().unwrap_err().to_string(), "variable `v` was not fetched");
}

#[test]
fn debug_output_holds_no_fetched_data() {
    let mut resolution =
        Resolution::new(json!(["{{ prefect.blocks.secret.a }}", "{{ prefect.variables.v }}"])).unwrap();
    let block = resolution.pending()[0].clone();
    resolution.provide(&block, Some(json!({"value": "hush"}))).unwrap();
    assert!(!format!("{resolution:?}").contains("hush"));
}

/// `levels` lists around a string.
fn nested(levels: usize, innermost: Value) -> Value {
    (0..levels).fold(innermost, |inner, _| Value::Array(vec![inner]))
}

#[test]
fn nesting_beyond_the_bound_is_an_error_wherever_it_comes_from() {
    let too_deep = |error: TemplateError| assert_eq!(error.problem(), &TemplateProblem::TooDeep);
    let no_values = Map::new();
    assert!(substitute(&nested(MAX_DEPTH, json!("x")), &no_values, &env()).is_ok());
    too_deep(substitute(&nested(MAX_DEPTH + 1, json!("x")), &no_values, &env()).unwrap_err());

    let half = Map::from_iter([("v".to_owned(), nested(MAX_DEPTH / 2 + 1, json!("x")))]);
    assert!(substitute(&json!("{{ v }}"), &half, &env()).is_ok());
    too_deep(substitute(&nested(MAX_DEPTH / 2, json!("{{ v }}")), &half, &env()).unwrap_err());
    let whole = Map::from_iter([("v".to_owned(), nested(1_000, json!("x")))]);
    too_deep(substitute(&json!("x"), &whole, &env()).unwrap_err());
    too_deep(Resolution::new(nested(1_000, json!("x"))).unwrap_err());

    let deep = json!({"v": nested(MAX_DEPTH, json!("x")), "secret/b": {"value": nested(MAX_DEPTH - 1, json!("x"))}});
    for template in ["{{ prefect.variables.v }}", "{{ prefect.blocks.secret.b }}"] {
        assert!(resolved(json!(template), &deep, &deep).is_ok());
        too_deep(resolved(json!([[template]]), &deep, &deep).unwrap_err());
    }
}

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\PC{0,6}",
        "\\{\\{ ?[a-e.$\\[\\]0-2-]{1,6} ?\\}\\}",
        Just("{{ prefect.blocks.a.b.c }}".to_owned()),
        Just("{{ prefect.blocks.a }}".to_owned()),
        Just("{{ prefect.variables.a }}".to_owned()),
        Just("{{".to_owned()),
        Just("}}".to_owned()),
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof!["[a-e]", Just("$ref".to_owned()), Just("block_document_id".to_owned())];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key, inner, 0..4).prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn substitution_and_resolution_never_panic(template in any_json(), values in any_json(), data in any_json()) {
        let values = values.as_object().cloned().unwrap_or_default();
        if let Some(filled) = substitute(&template, &values, &env()).unwrap()
            && let Ok(mut resolution) = Resolution::new(filled)
        {
            let mut rounds = 0;
            while let Some(reference) = resolution.pending().first().cloned() {
                rounds += 1;
                prop_assert!(rounds < 100, "asks without end");
                if resolution.provide(&reference, Some(data.clone())).is_err() {
                    return Ok(());
                }
            }
            prop_assert!(resolution.finish().is_ok());
        }
    }

    #[test]
    fn a_template_without_placeholders_is_unchanged(template in any_json()) {
        let text = template.to_string();
        prop_assume!(!text.contains("{{") && !text.contains("$ref"));
        prop_assert_eq!(substitute(&template, &values(), &env()).unwrap(), Some(template.clone()));
        prop_assert_eq!(Resolution::new(template.clone()).unwrap().finish().unwrap(), template);
    }

    #[test]
    fn python_text_of_a_float_reads_back_as_the_same_float(float in any::<f64>().prop_filter("JSON", |f| f.is_finite())) {
        let text = python_str(&json!(float));
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), float.to_bits());
        prop_assert!(text.contains(['.', 'e']), "{} would read as an integer", text);
    }
}
