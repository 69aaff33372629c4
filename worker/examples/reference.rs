//! Writes the references of the command line and of job variables anew.

use std::{io, path::Path};

fn main() -> io::Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    fs_err::write(docs.join("cli.md"), worker::cli::cli_md())?;
    fs_err::write(docs.join("job-variables.md"), worker::cli::job_variables_md())
}
