//! What people should know about an end, from what the run wrote last.

use std::collections::BTreeMap;

use infra_contract::{masking, quote};
use worker_core::exit::Exit;

use crate::error::INTERPRETER_HINT;

/// How Python says that a module is missing, up to the module's name.
const MISSING_MODULE: &str = "No module named ";

/// What people should know about an end besides the exit; nothing about a success.
pub(crate) fn of(
    exit: Exit,
    stderr: &str,
    interpreter: Option<&str>,
    environment: &BTreeMap<String, String>,
) -> Option<String> {
    if exit.is_success() {
        return None;
    }
    if lacks_prefect(stderr) {
        let python = interpreter.map_or_else(|| "the run's Python".to_owned(), |python| format!("`{python}`"));
        return Some(format!(
            "{python} cannot import the Prefect SDK: install `prefect` for it, or {INTERPRETER_HINT}"
        ));
    }
    quote::of_stderr(&masking::without_secrets(stderr, environment))
}

/// Whether Python missed the package itself or its engine, not another module of it (the flow was written for another
/// version) or one whose name begins like it.
fn lacks_prefect(stderr: &str) -> bool {
    stderr.split(MISSING_MODULE).skip(1).any(|rest| {
        let named = rest.trim_start_matches(['\'', '"']);
        let module = named.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.')).next();
        matches!(module, Some("prefect" | "prefect.engine"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(stderr: &str) -> Option<String> {
        of(Exit::Code(1), stderr, Some("/usr/bin/python3"), &BTreeMap::new())
    }

    #[test]
    fn an_interpreter_without_prefect_is_named_with_the_way_out() {
        for stderr in [
            "/usr/bin/python3: Error while finding module specification for 'prefect.engine' (ModuleNotFoundError: No module named 'prefect')\n",
            "/usr/bin/python3: No module named prefect.engine; 'prefect' is a package and cannot be directly executed\n",
            "/usr/bin/python3: No module named prefect\n",
        ] {
            let detail = detail(stderr).unwrap();
            assert!(detail.contains("`/usr/bin/python3` cannot import the Prefect SDK"), "{detail}");
            assert!(detail.contains("WORKER_PROCESS_PYTHON"), "{detail}");
        }
    }

    #[test]
    fn another_missing_module_is_quoted_as_it_is() {
        for module in ["prefect_aws", "prefect.orion", "prefect.engine.x", "prefecture"] {
            let stderr = format!("ModuleNotFoundError: No module named '{module}'");
            let quote = format!("its standard error ends with: {stderr}");
            assert_eq!(detail(&format!("{stderr}\n\n")).unwrap(), quote);
        }
    }

    #[test]
    fn a_quote_holds_no_secret() {
        let environment = BTreeMap::from([("DB_PASSWORD".to_owned(), "hunter22".to_owned())]);
        let quote = of(Exit::Code(3), "login hunter22 refused", None, &environment).unwrap();
        assert_eq!(quote, "its standard error ends with: login *** refused");
    }

    #[test]
    fn a_success_and_a_silent_end_have_no_detail() {
        assert_eq!(of(Exit::Code(0), "warning", None, &BTreeMap::new()), None);
        assert_eq!(detail("\n \n"), None);
    }
}
