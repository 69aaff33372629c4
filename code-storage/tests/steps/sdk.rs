//! The same steps here and in the SDK: the same files, the same place to run in, or an error on both sides.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use super::bed::{Bed, step};

struct Case {
    name: &'static str,
    steps: Value,
    /// Whether the SDK gets to the end.
    works: bool,
}

fn works(name: &'static str, steps: Value) -> Case {
    Case { name, steps, works: true }
}

fn fails(name: &'static str, steps: Value) -> Case {
    Case { name, steps, works: false }
}

fn script(inputs: Value) -> Value {
    step("run_shell_script", inputs)
}

fn one(text: &str) -> Value {
    json!([script(json!({"script": text}))])
}

/// Commands that a shell would read in another way than Python does.
const QUOTED: &str = r#"record a b  c
record 'a b' "c d" e\ f
record "a\$b" "a\"b" "a\\b" "a\nb" 'a\b' a\b
record # no comment
record a#b '' "" ''
record $HOME ${HOME} $$ $nope ~ *
record a|b && c > d ; e &
record "it's" 'say "hi"' a''b"c"'d'
   record	tabs	and   blanks   
record \\ \" \' \#
record ünï "©" é\ x

record {} ! [ ] ( )
record "many
record words""#;

const EXPANDED: &str = r#"record $NAME ${NAME} "$NAME" '$NAME'
record $$NAME $$$NAME $1 $ $-x ${} ${NAME ${1} $NAMEx $name $_ $NAME.$NAME ${NAME}x
record $QUOTED $EMPTY "$EMPTY" end$
record $LINES
$COMMAND"#;

const SHELL: &str = r#"record a | cat; record "$NAME" $NAME ${NAME}x
   echo out > written && echo more >> written   
 	
cd / && pwd
false || record rescued
record 'one line' # a comment"#;

fn scripts() -> Vec<Case> {
    let variables = json!({
        "NAME": "two words", "QUOTED": "'q r'", "EMPTY": "", "LINES": "a\nb", "COMMAND": "record from a variable",
    });
    let with = |text: &str, flag: &str| {
        json!([script(json!({"script": text, "env": variables, flag: true, "stream_output": false}))])
    };
    // The last two lines of the first are a quotation that no line closes.
    let quoted: Vec<&str> = QUOTED.lines().collect();
    let (closed, open) = quoted.split_at(quoted.len() - 2);
    vec![
        works("words", one(&closed.join("\n"))),
        fails("open quotation", one(&open.join("\n"))),
        fails(
            "open quotation from a variable",
            json!([script(json!({
                "script": "record a\nrecord $QUOTE", "expand_env_vars": true, "env": {"QUOTE": "'"},
            }))]),
        ),
        works("line breaks", one("record a\rrecord b\r\nrecord c\x0brecord d\u{2028}record e\u{85}record f\n\n")),
        works("expansion", with(EXPANDED, "expand_env_vars")),
        works("no expansion", with("record $NAME ${NAME}", "stream_output")),
        works("shell", with(SHELL, "shell")),
        works(
            "shell and expansion",
            json!([script(json!({
                "script": "record $NAME $$NAME '$NAME'", "env": variables, "shell": true, "expand_env_vars": true,
            }))]),
        ),
        works("empty", one("")),
        works("blank", one(" \n\t\n")),
        works(
            "null for every choice",
            json!([script(json!({
                "script": "record a", "directory": null, "env": null, "stream_output": null, "expand_env_vars": null,
                "shell": null,
            }))]),
        ),
        fails("failing", one("record a\nsh -c 'exit 3'\nrecord b")),
        fails("killed", one("sh -c 'kill -9 $$'\nrecord b")),
        fails("no such program", one("record a\nno-such-program-at-all")),
        fails("not a program", one("/")),
        fails("no shell syntax without a shell", one("(record a)")),
        fails("missing directory", json!([script(json!({"script": "record a", "directory": "nowhere"}))])),
        works("missing directory of an empty script", json!([script(json!({"script": "\n", "directory": "nowhere"}))])),
        fails("no script", json!([script(json!({"directory": "."}))])),
        fails("unknown input", json!([script(json!({"script": "true", "depth": 1}))])),
    ]
}

fn chains() -> Vec<Case> {
    let go = |directory: &str| json!({"prefect.deployments.steps.set_working_directory": {"directory": directory}});
    vec![
        works(
            "outputs are stripped and merged",
            json!([
                script(json!({"id": "x", "script": "printf '\\n  one   two\\t\\n\\n'\nsh -c 'echo err >&2'"})),
                script(json!({"script": "echo three"})),
                script(
                    json!({"script": "record \"{{ x.stdout }}\" {{ x.stderr }} {{ stdout }} \"{{ stderr }}\" {{ x.stdout[1] }}"})
                ),
                script(json!({"script": "record \"$ALL\" \"$PART\"", "expand_env_vars": true,
                "env": {"ALL": "{{ x.stdout }}", "PART": "<{{ x }}>", "GONE": "{{ gone.stdout }}"}})),
            ]),
        ),
        works(
            "a later step takes a name over",
            json!([
                script(json!({"id": "x", "script": "echo one"})),
                script(json!({"id": "x", "script": "echo two"})),
                script(json!({"script": "record {{ x.stdout }} {{ x.nope }} {{ y }}."})),
                script(json!({"id": "stdout", "script": "echo three"})),
                script(json!({"script": "record {{ stdout }}"})),
            ]),
        ),
        works(
            "directories",
            json!([
                script(json!({"script": "mkdir -p a/b c"})),
                script(json!({"id": "where", "script": "echo a/b"})),
                go("{{ where.stdout }}"),
                script(json!({"script": "record here"})),
                go("../.."),
                script(json!({"script": "record there", "directory": "c"})),
                go("a/../a"),
                script(json!({"id": "pwd", "script": "pwd"})),
                go("{{ pwd.stdout }}/b"),
                script(json!({"script": "record last"})),
            ]),
        ),
        fails("a directory that is not there", json!([go("nowhere")])),
        fails("a directory that is a file", json!([script(json!({"script": "touch file"})), go("file")])),
        fails("an unknown name is left out", json!([go("{{ HOME }}")])),
        fails("an output that is empty", json!([script(json!({"id": "x", "script": "true"})), go("{{ x.stdout }}")])),
        works(
            "blocks, variables and the environment",
            json!([
                script(
                    json!({"script": "record {{ prefect.blocks.secret.token }} {{ prefect.variables.greeting }} {{ $NAME }}.{{ NAME }}."})
                ),
                script(json!({"script": "{{ prefect.variables.command }}"})),
                script(
                    json!({"script": "record {{ prefect.blocks.json.data.list[1].key }} {{ prefect.variables.gone }}."})
                ),
                script(json!({"script": "record \"$HELD\"", "expand_env_vars": true,
                "env": {"HELD": "{{ prefect.blocks.secret.held }}"}})),
                script(json!({"id": "made", "script": "printf '{%s HOME }}' '{'"})),
                script(json!({"script": "record '{{ made.stdout }}'"})),
            ]),
        ),
        fails(
            "a block that does not exist",
            json!([
                script(json!({"script": "record a"})),
                script(json!({"script": "record {{ prefect.blocks.secret.gone }}"})),
            ]),
        ),
        fails("a block that is no text", one("record x{{ prefect.blocks.json.data }}")),
        works("empty steps", json!([{}, script(json!({"script": "record a"})), {}])),
        fails("two steps in one", json!([{"a.b": {}, "c.d": {}}])),
        fails("a step that nobody knows", json!([{"no.such.module.step": {}}])),
        fails("a requirement that is not there", json!([script(json!({"script": "record a", "require": "x"}))])),
    ]
}

fn clones(origin: &Utf8Path) -> Vec<Case> {
    let clone = |inputs: Value| json!({"prefect.deployments.steps.git_clone": inputs});
    let go = |directory: &str| json!({"prefect.deployments.steps.set_working_directory": {"directory": directory}});
    vec![
        works("a clone", json!([clone(json!({"repository": origin}))])),
        works(
            "a clone and what follows",
            json!([
                script(json!({"id": "branch", "script": "echo side"})),
                clone(json!({"id": "code", "repository": origin, "branch": "{{ branch.stdout }}"})),
                script(
                    json!({"script": "record {{ code.directory }} {{ directory }}", "directory": "{{ code.directory }}"})
                ),
                go("{{ code.directory }}/lib"),
                script(json!({"script": "record {{ directory }}"})),
            ]),
        ),
        fails(
            "a branch that starts with a dash",
            json!([
                script(json!({"id": "branch", "script": "echo -x"})),
                clone(json!({"repository": origin, "branch": "{{ branch.stdout }}"})),
            ]),
        ),
    ]
}

fn repository(bed: &Bed) -> Utf8PathBuf {
    let path = bed.run_directory("origin/repo");
    fs_err::create_dir(path.join("lib")).unwrap();
    fs_err::write(path.join("lib/code.py"), "code").unwrap();
    let git = |arguments: &[&str]| {
        let ended = Command::new("git")
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.test", "-C", path.as_str()])
            .args(arguments)
            .envs(&bed.site.environment)
            .output()
            .unwrap();
        assert!(ended.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
    };
    git(&["init", "--quiet", "--initial-branch", "trunk"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "one"]);
    git(&["branch", "side"]);
    path
}

/// What a run left: where the flow would run, and every file with its text; paths of the run itself are replaced.
fn left_behind(directory: &Utf8Path, ended_in: &str) -> (String, BTreeMap<String, String>) {
    let mut files = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in folder.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            let name = path.strip_prefix(directory).unwrap().to_string();
            if path.file_name() == Some(".git") || path.extension() == Some("lock") {
                continue;
            }
            if path.is_dir() {
                files.insert(name, "a directory".to_owned());
                open.push(path);
            } else {
                let text = String::from_utf8_lossy(&fs_err::read(&path).unwrap()).into_owned();
                files.insert(name, text.replace(directory.as_str(), "RUN"));
            }
        }
    }
    (ended_in.replace(directory.as_str(), "RUN"), files)
}

/// The SDK's answers, one for each case.
fn ask_the_sdk(bed: &Bed, cases: &[Case], directories: &[Utf8PathBuf]) -> Vec<Value> {
    let asked = cases.iter().zip(directories).map(|(case, directory)| {
        json!({"directory": directory, "steps": case.steps, "blocks": bed.blocks, "variables": bed.variables})
    });
    let asked: Vec<Value> = asked.collect();
    let workspace = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = workspace.join(".tools/python/bin/python");
    assert!(python.is_file(), "there is no {python}: run `scripts/python-env` first");
    let mut sdk = Command::new(&python)
        .arg(workspace.join("code-storage/tests/steps/sdk_steps.py"))
        .env_clear()
        .envs(&bed.site.environment)
        .env("PREFECT_HOME", bed.root.join("prefect"))
        // Nothing is asked of it.
        .env("PREFECT_API_URL", "http://127.0.0.1:9/api")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = sdk.stdin.take().unwrap();
    let text = serde_json::to_vec(&asked).unwrap();
    // Written beside the reading: the answers do not wait for the last question.
    let writing = std::thread::spawn(move || stdin.write_all(&text));
    let ended = sdk.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    serde_json::from_slice(&ended.stdout).unwrap()
}

#[tokio::test]
async fn every_list_of_steps_comes_out_as_in_the_sdk() {
    let mut bed = Bed::new();
    bed.site.environment.insert("NAME".to_owned(), "of-the-run".to_owned());
    let block = |value: Value| json!({"value": value});
    bed.blocks.insert("secret/token".to_owned(), block(json!("t0ps3cret")));
    bed.blocks.insert("secret/held".to_owned(), block(json!("{{ NAME }} {{ prefect.variables.greeting }} {{ x }}")));
    bed.blocks.insert("json/data".to_owned(), block(json!({"list": [1, {"key": true}]})));
    bed.variables.insert("greeting".to_owned(), json!(["hello", 1.0, null]));
    bed.variables.insert("command".to_owned(), json!("record '{{ NAME }}'"));
    let origin = repository(&bed);

    let cases: Vec<Case> = scripts().into_iter().chain(chains()).chain(clones(&origin)).collect();
    let place = |side: &str| (0..cases.len()).map(|number| bed.run_directory(&format!("{side}/{number}"))).collect();
    let (theirs, ours): (Vec<Utf8PathBuf>, Vec<Utf8PathBuf>) = (place("sdk"), place("worker"));
    let answers = ask_the_sdk(&bed, &cases, &theirs);
    assert_eq!(answers.len(), cases.len());

    for (((case, answer), theirs), ours) in cases.iter().zip(&answers).zip(&theirs).zip(&ours) {
        let name = case.name;
        let Some(ended_in) = answer["directory"].as_str() else {
            assert!(!case.works, "{name}: the SDK fails: {answer}");
            // What is left to the SDK fails there, and it says what it said here.
            if bed.plan(&case.steps).is_ok() {
                let failure = bed.pull(ours, &case.steps).await.expect_err(name);
                assert!(failure.failed.is_some(), "{name}");
                assert_eq!(left_behind(ours, "").1, left_behind(theirs, "").1, "{name}");
            }
            continue;
        };
        assert!(case.works, "{name}: the SDK works");
        let pulled = bed.pull(ours, &case.steps).await.unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
        assert_eq!(left_behind(ours, &pulled.code.directory), left_behind(theirs, ended_in), "{name}");
    }
}
