//! `worker cache`.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use code_storage::cache::{Entry, EntryKind};
use code_storage::{Cache, CacheLimits, PullOptions};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::daemon_plan::code_cache_of;
use super::settings::{self, Source};

const MIB: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct CacheArgs {
    #[command(subcommand)]
    command: CacheCommand,
    /// The workspace whose code it is; that of Prefect's own settings if not given
    #[arg(long, global = true, value_name = "NAME")]
    workspace: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum CacheCommand {
    /// Print what is kept, the most recently used first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove what is beyond the limits and not in use
    Prune(PruneArgs),
    /// Look whether what is kept is whole, and remove what is not
    Verify,
}

#[expect(clippy::doc_markdown, reason = "the text is the help, where backticks would be shown")]
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Keep at most so many MiB [default: code.cache_size_mib]
    #[arg(long, value_name = "MIB")]
    max_size: Option<u64>,
    /// Keep what was used in the last so many seconds [default: code.cache_age_seconds]
    #[arg(long, value_name = "SECONDS")]
    max_age: Option<u64>,
}

pub(super) fn run(args: &CacheArgs, from: Source) -> ExitCode {
    settings::ended(told(args, from))
}

fn told(args: &CacheArgs, from: Source) -> Result<String, String> {
    let (loaded, _) = from.load_or_complain(Vec::new())?;
    let kept = code_cache_of(args.workspace.as_deref(), &loaded.settings)?;
    let unusable = |error: io::Error| format!("the code that is kept in {} cannot be used: {error}", kept.directory);
    let cache = kept.open().map_err(unusable)?;
    match &args.command {
        CacheCommand::List { json } => {
            let entries = cache.list().map_err(unusable)?;
            if *json {
                let entries: Vec<Value> = entries.iter().map(json_of).collect();
                return serde_json::to_string_pretty(&entries).map_err(|error| format!("it is no JSON: {error}"));
            }
            Ok(table(&entries, SystemTime::now()))
        }
        CacheCommand::Prune(args) => {
            let limits = CacheLimits {
                size: args.max_size.map(|mib| mib.saturating_mul(MIB)).or(kept.limits.size),
                age: args.max_age.map(Duration::from_secs).or(kept.limits.age),
            };
            let pruned = cache.prune(limits).map_err(unusable)?;
            Ok(format!("Removed {} of {}", count(pruned.entries), mib(pruned.size)))
        }
        CacheCommand::Verify => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| format!("the async runtime cannot be started: {error}"))?;
            runtime.block_on(verified(&cache)).map_err(unusable)
        }
    }
}

async fn verified(cache: &Cache) -> io::Result<String> {
    let all = cache.list()?.len();
    let damaged = cache.verify(&PullOptions::default(), &CancellationToken::new()).await?;
    let lines = damaged.iter().map(|entry| format!("damaged: {}\n", line(entry)));
    let lines: String = lines.collect();
    Ok(if damaged.is_empty() {
        format!("Looked at {}: all are whole", count(all))
    } else {
        format!("{lines}Looked at {} and found {} damaged; those not in use are removed", count(all), damaged.len())
    })
}

fn table(entries: &[Entry], now: SystemTime) -> String {
    let size = entries.iter().map(|entry| entry.size).sum();
    let lines = entries.iter().map(|entry| {
        let unused = now.duration_since(entry.last_used).unwrap_or_default().as_secs();
        format!("{}  used {} ago\n", line(entry), whole(unused))
    });
    format!("{}{}, {}", lines.collect::<String>(), count(entries.len()), mib(size))
}

fn json_of(entry: &Entry) -> Value {
    let last_used = Timestamp::try_from(entry.last_used).ok().map(|at| at.to_string());
    json!({
        "kind": entry.kind, "name": entry.name, "source": entry.source, "size": entry.size, "last_used": last_used,
    })
}

fn line(entry: &Entry) -> String {
    let kind = match entry.kind {
        EntryKind::Git => "git",
        EntryKind::Checkout => "checkout",
        EntryKind::Objects => "objects",
    };
    let source = if entry.source.is_empty() { &entry.name } else { &entry.source };
    format!("{kind:8}  {:>10}  {source}", mib(entry.size))
}

fn count(entries: usize) -> String {
    if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") }
}

/// In MiB with one decimal.
fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / MIB;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

fn whole(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_shown_with_size_source_and_last_use() {
        let now = SystemTime::now();
        let entry = |source: &str, size, unused| Entry {
            kind: EntryKind::Git,
            name: "repo-0a1b".to_owned(),
            source: source.to_owned(),
            size,
            last_used: now - Duration::from_secs(unused),
        };
        assert_eq!(table(&[], now), "0 entries, 0.0 MiB");
        assert_eq!(
            table(&[entry("https://h.test/r", 3 * MIB / 2, 90), entry("", 0, 90_000)], now),
            "git          1.5 MiB  https://h.test/r  used 90 s ago\n\
             git          0.0 MiB  repo-0a1b  used 25 h ago\n\
             2 entries, 1.5 MiB"
        );
    }
}
