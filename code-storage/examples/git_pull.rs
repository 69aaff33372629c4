//! Measures pulls of a repository: the first one to an empty cache, and later ones.
//!
//! `git_pull URL [DIRECTORY [PULLS [BRANCH|COMMIT]]]`: the cache and the clones go to `DIRECTORY`, which is kept if it is given.
//! A login is given in the URL.

#![expect(clippy::print_stdout, reason = "the numbers are what it is run for")]

use std::error::Error;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use code_storage::{
    Cache, CacheLimits, Checkout, CodeSource as _, GitClone, GitSource, PullOptions, Repository, Revision,
};
use tokio_util::sync::CancellationToken;

/// How often each kind of pull is measured.
const ROUNDS: usize = 5;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("usage: git_pull URL [DIRECTORY [PULLS [BRANCH|COMMIT]]]")?;
    let temporary = tempfile::tempdir()?;
    let directory = arguments
        .next()
        .map_or_else(|| Utf8PathBuf::try_from(temporary.path().to_owned()), |given| Ok(given.into()))?;
    let pulls: usize = arguments.next().as_deref().unwrap_or("50").parse()?;
    let revision = match arguments.next() {
        None => Revision::DefaultBranch,
        Some(id) if id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => Revision::Commit(id),
        Some(branch) => Revision::Branch(branch),
    };
    let (repository, login) = Repository::parse(&url)?;
    let wanted = GitClone {
        repository,
        login,
        revision,
        include_submodules: false,
        directories: Vec::new(),
        directory_name: "code".to_owned(),
    };
    let rounds = if pulls > 1 { ROUNDS } else { 1 };
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let root = directory.join(format!("round-{round}"));
        fs_err::create_dir_all(&root)?;
        let cache = Cache::open(&root.join("cache"), CacheLimits::default())?;
        let source = GitSource::new(wanted.clone(), PullOptions { cache: Some(cache), ..PullOptions::default() });
        for number in 1..=pulls {
            let into = root.join("code");
            let (checkout, took) = measure(&source, &into).await?;
            if number == 1 {
                println!("round {round}: first pull, {}: {took:?}", checkout.revision);
                first.push(took);
            }
            // What the allocator of the system caches for the first pulls is not measured.
            if number == pulls {
                println!("round {round}: pull {number}: {took:?}");
                last.push(took);
            }
            fs_err::remove_dir_all(&into)?;
        }
        fs_err::remove_dir_all(&root)?;
    }
    println!("median of the first pulls: {:?}", median(first));
    println!("median of the pulls number {pulls}: {:?}", median(last));
    Ok(())
}

async fn measure(source: &GitSource, into: &Utf8Path) -> Result<(Checkout, Duration), Box<dyn Error>> {
    let start = Instant::now();
    let checkout = source.fetch(into, &CancellationToken::new()).await?;
    Ok((checkout, start.elapsed()))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
