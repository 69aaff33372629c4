//! Code for a container does not lead out of the directory that it is given.

use super::origin::{Site, names};
use code_storage::CodeError;
use serde_json::json;

#[tokio::test]
async fn a_link_in_a_repository_leads_to_no_file_of_this_machine() {
    let mut site = Site::new();
    site.is_here = false;
    let origin = site.repository("code");
    let secrets = site.run_directory("secrets");
    std::os::unix::fs::symlink(&secrets, origin.path.join("out")).unwrap();
    origin.commit("flow.py", "with a link");
    let run = site.run_directory("run");
    let clone = json!({"prefect.deployments.steps.git_clone": {"repository": origin.url()}});
    let enter = json!({"prefect.deployments.steps.set_working_directory": {"directory": "code/out"}});
    let failed = site.pull(&run, &json!([clone, enter])).await.unwrap_err();
    assert!(matches!(&failed, CodeError::Directory { directory, .. } if directory.ends_with("code/out")), "{failed}");

    let inside = json!({"prefect.deployments.steps.set_working_directory": {"directory": "code"}});
    let other = json!({"prefect.deployments.steps.git_clone":
        {"repository": origin.url(), "clone_directory_name": "out"}});
    let failed = site.pull(&site.run_directory("again"), &json!([clone, inside, other])).await.unwrap_err();
    assert!(matches!(&failed, CodeError::Directory { .. }), "{failed}");
    assert_eq!(names(&secrets), Vec::<String>::new());
}
