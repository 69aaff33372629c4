//! What the flow's process has to load.

use super::super::Entrypoint;
use super::*;

fn entrypoint(text: &str) -> Entrypoint {
    let (steps, site) = (only("set_working_directory", json!({"directory": "/srv"})), here());
    let code = DeploymentCode { entrypoint: Some(text), ..code(&steps, &site) };
    planned(&code, &[]).unwrap().entrypoint().clone()
}

#[test]
fn files_and_module_paths_are_read() {
    let file = |file: &str, object: &str| Entrypoint::File { file: file.into(), object: object.to_owned() };
    assert_eq!(entrypoint("flows/hello.py:hello"), file("flows/hello.py", "hello"));
    assert_eq!(entrypoint("/srv/a:b.py:Class.method"), file("/srv/a:b.py", "Class.method"));
    for module in ["pkg.module.flow", "module.flow", "_a.b2.c"] {
        assert_eq!(entrypoint(module), Entrypoint::Module(module.to_owned()));
    }
}

#[test]
fn an_entrypoint_that_is_neither_is_the_sdks() {
    let (steps, site) = (only("set_working_directory", json!({"directory": "/srv"})), here());
    for none in [None, Some("")] {
        let code = DeploymentCode { entrypoint: none, ..code(&steps, &site) };
        assert_eq!(reason_for(&code, &[]), "the deployment has no entrypoint");
    }
    for odd in ["pkg.module:flow", "flow.py:", "flows\\f.py:f", "flow", ".flow", "pkg..flow", "a b.flow", "a-b.flow"] {
        let code = DeploymentCode { entrypoint: Some(odd), ..code(&steps, &site) };
        assert_eq!(reason_for(&code, &[]), format!("the worker does not read the entrypoint `{odd}`"));
    }
}
