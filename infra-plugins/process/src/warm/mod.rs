//! Warm starts: runs that are forked from a Python which has imported the SDK already.
//!
//! For each combination of interpreter and variables that act early ([`key`]) there is one such process, a zygote ([`zygote`]). It
//! forks what becomes the supervisor of a run, and that what becomes the run; from there on nothing is different from a cold start.
//! Whatever stands in the way of a warm start has the run start cold: it is decided before anything of the run is started, and the
//! claim file has the last word all the same.

pub(crate) mod frame;
mod key;
mod zygote;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::pipes::Pipes;
use crate::supervisor::{LaunchSpec, WarmStart};
use key::{Entry, Key};
use zygote::{Ready, Zygote};

/// How many zygotes there are at most if the settings do not say.
const MOST: usize = 2;

/// How long a zygote that nobody needs is kept, where their number is not fixed.
const IDLE_LIMIT: Duration = Duration::from_mins(10);

/// How often it is looked whether nobody needs one.
const IDLE_INTERVAL: Duration = Duration::from_mins(1);

/// A zygote is replaced after this time or so many starts: what it has in memory is shared by all of its forks, such as the seed of
/// the hashes of strings.
const AGE_LIMIT: Duration = Duration::from_hours(1);
const STARTS_LIMIT: u32 = 500;

/// How long a run waits for a zygote that is being started. A cold start would have to import the same.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// How long it is not tried again to have a zygote where that has failed.
const UNFIT_TIME: Duration = Duration::from_mins(10);

/// A zygote that was needed so recently is not ended for another.
const LEAST_USE: Duration = Duration::from_secs(30);

/// Files of a working directory that the SDK reads settings from.
const SETTINGS_FILES: [&str; 3] = [".env", "prefect.toml", "pyproject.toml"];

/// What makes a directory a package.
const INITS: [&str; 2] = ["__init__.py", "__init__.pyc"];

/// Whether runs start warm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Warm {
    /// None does.
    #[default]
    Off,
    /// Those that can; zygotes end when they are not needed.
    Auto,
    /// Those that can, from at most so many zygotes, which are kept.
    Kept(NonZeroUsize),
}

impl Warm {
    fn most(self) -> usize {
        match self {
            Self::Off => 0,
            Self::Auto => MOST,
            Self::Kept(most) => most.get(),
        }
    }
}

/// The zygotes of a plugin. `Debug` leaves the environment out: it holds secrets.
pub(crate) struct WarmPool {
    warm: Warm,
    /// What every run gets of the worker's environment.
    inherited: BTreeMap<String, String>,
    places: Arc<Mutex<Places>>,
}

#[derive(Default)]
struct Places {
    by_key: BTreeMap<Key, Place>,
    /// Ends zygotes that nobody needs.
    watch: Option<AbortOnDropHandle<()>>,
}

/// One zygote, or the knowledge that there cannot be one. Locked while it is started: whoever needs it waits.
#[derive(Clone, Default)]
struct Place(Arc<Mutex<State>>);

#[derive(Default)]
enum State {
    #[default]
    Empty,
    Ready(Box<Zygote>),
    Unfit {
        since: Instant,
    },
}

/// Why a run starts cold.
#[derive(Debug, thiserror::Error)]
enum Cold {
    #[error("it executes something else than the engine, or is confined")]
    OtherCommand,
    #[error("there are as many zygotes as there may be")]
    NoPlace,
    #[error("there cannot be a zygote for it")]
    Unfit,
    #[error("its zygote is slow to start")]
    Slow,
    #[error("`{0}` has another value than for its zygote")]
    Misread(String),
    #[error("its directory has a module `{0}` of its own")]
    Shadow(String),
    #[error("its directory has settings of Prefect in `{0}`")]
    SettingsFile(&'static str),
    #[error("its directory cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("its zygote does not answer: {0}")]
    Broken(io::Error),
}

/// Whether runs of an interpreter could be forked, and what of it if so. Starts one, which ends again.
///
/// # Errors
/// Why not, in words.
pub(crate) async fn look(python: &Utf8Path, inherited: &BTreeMap<String, String>) -> Result<String, String> {
    let key = Key::of_any(python, inherited);
    let zygote = Zygote::start(&key).await.map_err(|unfit| unfit.to_string())?;
    Ok(zygote.ready.versions())
}

impl fmt::Debug for WarmPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmPool").field("warm", &self.warm).finish_non_exhaustive()
    }
}

impl WarmPool {
    pub(crate) fn new(warm: Warm, inherited: BTreeMap<String, String>) -> Self {
        Self { warm, inherited, places: Arc::default() }
    }

    /// Has the supervisor of a run started by a zygote, if that can be; the spec then says so.
    pub(crate) async fn fork(&self, spec: &mut LaunchSpec, supervisor: &File, words: &[String]) -> Option<Pipes> {
        if self.warm == Warm::Off {
            return None;
        }
        match self.try_to_fork(spec, supervisor, words).await {
            Ok(pipes) => Some(pipes),
            Err(cold) => {
                tracing::debug!(run_id = %spec.key.run, cause = %cold, "the run starts cold");
                None
            }
        }
    }

    async fn try_to_fork(&self, spec: &mut LaunchSpec, supervisor: &File, words: &[String]) -> Result<Pipes, Cold> {
        let key = Key::of(spec, &self.inherited).ok_or(Cold::OtherCommand)?;
        let place = self.place(&key).await?;
        let mut state = timeout(WAIT_LIMIT, place.0.lock()).await.map_err(|_| Cold::Slow)?;
        let zygote = state.ready(&key).await?;
        let warm =
            WarmStart { python_path: key::python_path_of(&spec.environment), python_path_before: key.python_path() };
        fits(&zygote.ready, &key, spec, &warm)?;
        match zygote.fork(supervisor, words) {
            Ok(pipes) => {
                spec.warm = Some(warm);
                Ok(pipes)
            }
            Err(error) => {
                *state = State::Empty;
                Err(Cold::Broken(error))
            }
        }
    }

    /// Ends the zygote of a run whose supervisor never answered: it may be one that was stopped. Another that has taken its place is
    /// left.
    pub(crate) async fn distrust(&self, spec: &LaunchSpec, zygote: Option<u32>) {
        let Some(key) = Key::of(spec, &self.inherited) else { return };
        let place = self.places.lock().await.by_key.get(&key).cloned();
        if let Some(place) = place {
            let mut state = place.0.lock().await;
            if let State::Ready(ready) = &mut *state
                && ready.pid() == zygote
            {
                ready.kill();
                *state = State::Empty;
            }
        }
    }

    /// The place of a key, made if there is room.
    async fn place(&self, key: &Key) -> Result<Place, Cold> {
        let mut places = self.places.lock().await;
        if let Some(place) = places.by_key.get(key) {
            return Ok(place.clone());
        }
        if places.by_key.len() >= self.warm.most() {
            places.remove_idle(Duration::ZERO);
        }
        if places.by_key.len() >= self.warm.most() {
            return Err(Cold::NoPlace);
        }
        if self.warm == Warm::Auto && places.watch.is_none() {
            places.watch = Some(AbortOnDropHandle::new(tokio::spawn(remove_idle(Arc::downgrade(&self.places)))));
        }
        let place = Place::default();
        places.by_key.insert(key.clone(), place.clone());
        Ok(place)
    }
}

impl Places {
    /// Removes the one that has not been needed for longest, if it has not for so long; of those in use none.
    fn remove_idle(&mut self, limit: Duration) {
        let unused = self.by_key.iter().filter_map(|(key, place)| {
            let state = place.0.try_lock().ok()?;
            let since = match &*state {
                State::Empty => return None,
                State::Ready(zygote) => zygote.used,
                State::Unfit { since } => *since,
            };
            Some((since, key.clone()))
        });
        let longest = unused.min();
        if let Some((since, key)) = longest
            && since.elapsed() >= limit.max(LEAST_USE)
        {
            self.by_key.remove(&key);
        }
    }
}

/// Removes zygotes that nobody needs, as long as there is a pool.
async fn remove_idle(places: Weak<Mutex<Places>>) {
    loop {
        tokio::time::sleep(IDLE_INTERVAL).await;
        let Some(places) = places.upgrade() else { return };
        places.lock().await.remove_idle(IDLE_LIMIT);
    }
}

impl State {
    /// The zygote, after starting one if there is none that is as it should be.
    async fn ready(&mut self, key: &Key) -> Result<&mut Zygote, Cold> {
        match self {
            Self::Ready(zygote) if !is_over(zygote) => {}
            Self::Unfit { since } if since.elapsed() < UNFIT_TIME => return Err(Cold::Unfit),
            Self::Empty | Self::Ready(_) | Self::Unfit { .. } => {
                *self = Self::Empty;
                *self = match Zygote::start(key).await {
                    Ok(zygote) => {
                        tracing::info!(python = %key.python, pid = zygote.pid(), "flow runs start warm");
                        Self::Ready(Box::new(zygote))
                    }
                    Err(unfit) => {
                        tracing::info!(python = %key.python, reason = %unfit, "flow runs start cold");
                        Self::Unfit { since: Instant::now() }
                    }
                };
            }
        }
        match self {
            Self::Ready(zygote) => Ok(zygote),
            Self::Empty | Self::Unfit { .. } => Err(Cold::Unfit),
        }
    }
}

/// Whether a zygote has had its time, or is another program than the one that would start now.
fn is_over(zygote: &Zygote) -> bool {
    zygote.since.elapsed() >= AGE_LIMIT || zygote.starts >= STARTS_LIMIT || zygote.is_outdated()
}

/// Whether a run would have imported the same, and read the same. Reads the file system.
fn fits(ready: &Ready, key: &Key, spec: &LaunchSpec, warm: &WarmStart) -> Result<(), Cold> {
    if let Some(name) = key::misread(&ready.asked, key, &spec.environment) {
        return Err(Cold::Misread(name.to_owned()));
    }
    let own = warm.python_path.iter().filter(|path| !warm.python_path_before.contains(path));
    let directories = own.map(Utf8Path::new).chain([spec.working_dir.as_path()]);
    for directory in directories {
        if let Some(name) = key::shadow(&ready.modules, &entries(directory).map_err(Cold::Unreadable)?) {
            return Err(Cold::Shadow(name.to_owned()));
        }
    }
    match SETTINGS_FILES.iter().find(|file| has_settings(&spec.working_dir.join(file))) {
        Some(file) => Err(Cold::SettingsFile(file)),
        None => Ok(()),
    }
}

/// Whether a file sets something of Prefect's, which is also read while the SDK is imported.
fn has_settings(file: &Utf8Path) -> bool {
    let is_shared = file.file_name() == Some("pyproject.toml");
    if is_shared { fs_err::read_to_string(file).is_ok_and(|text| text.contains("tool.prefect")) } else { file.exists() }
}

fn entries(directory: &Utf8Path) -> io::Result<Vec<Entry>> {
    let listed = match directory.read_dir_utf8() {
        // It is made for the run; or it is one that is not there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?,
    };
    let entry = |entry: io::Result<camino::Utf8DirEntry>| {
        let entry = entry?;
        let is_package = INITS.iter().any(|init| entry.path().join(init).exists());
        Ok(Entry { name: entry.file_name().to_owned(), is_package })
    };
    listed.map(entry).collect()
}
