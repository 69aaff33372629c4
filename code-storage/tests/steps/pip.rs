//! `pip_install_requirements`, with a stand-in for the Python of the run.

use serde_json::json;

use super::bed::{Bed, told};

#[tokio::test]
async fn pip_installs_with_the_python_of_the_run() {
    let mut bed = Bed::new();
    bed.site.python = Some(bed.program("python", "#!/bin/sh\nrecord \"$@\"\necho installed\necho warned >&2\n"));
    let run = bed.run_directory("run");
    let steps = json!([
        {"prefect.deployments.steps.run_shell_script": {"id": "at", "script": "mkdir -v deps"}},
        {"prefect.deployments.steps.pip_install_requirements": {"id": "pip", "directory": "deps"}},
        {"prefect.deployments.steps.pip_install_requirements":
            {"requirements_file": "{{ pip.stdout }}.txt", "stream_output": false}},
    ]);
    bed.pull(&run, &steps).await.unwrap();
    let read = |file: &str| fs_err::read_to_string(run.join(file)).unwrap();
    assert_eq!(read("deps/args"), "<-m><pip><install><-r><requirements.txt>\n");
    assert_eq!(read("args"), "<-m><pip><install><-r><installed.txt>\n");
    let mut lines = bed.log.all();
    lines.retain(|line| !line.starts_with("mkdir"));
    lines.sort();
    assert_eq!(lines, ["installed", "warned"]);
}

#[tokio::test]
async fn a_failing_pip_says_why() {
    let mut bed = Bed::new();
    bed.site.python =
        Some(bed.program("python", "#!/bin/sh\necho 'No matching distribution found for x' >&2\nexit 1\n"));
    let run = bed.run_directory("run");
    let steps = json!([{"prefect.deployments.steps.pip_install_requirements": {}}]);
    let failure = bed.pull(&run, &steps).await.unwrap_err();
    assert_eq!(
        told(&failure),
        "`pip` ended with exit status: 1 in the step `pip_install_requirements`: No matching distribution found for x"
    );
    assert_eq!(failure.failed.unwrap().step_name, "pip_install_requirements");
    bed.site.python = Some(bed.root.join("no-python"));
    let failure = bed.pull(&run, &steps).await.unwrap_err();
    assert!(told(&failure).contains("no-python` could not be started by the step"), "{}", told(&failure));
}
