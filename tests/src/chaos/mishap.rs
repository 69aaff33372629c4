//! What goes wrong in a round.

/// Something that happens at some moment. A `pick` is taken modulo what there is at that moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mishap {
    /// To a worker.
    Worker { pick: usize, strike: WorkerStrike },
    /// To a process of a run that is being executed.
    Run { pick: usize, strike: RunStrike },
    /// Between the workers and the API.
    Api(ApiFault),
    /// A user does something.
    User(UserAct),
    /// The disk with the state directory is full.
    FillDisk,
}

/// What happens to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerStrike {
    /// It is killed, and is started again after a while.
    Kill,
    /// It is asked to stop, and is started again after a while.
    Stop,
    /// It is asked to stop, and again before it could.
    StopTwice,
    /// It gets no processor time.
    Freeze,
}

/// What happens to a process of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunStrike {
    /// The supervisor is killed.
    KillSupervisor,
    /// The supervisor gets no processor time.
    FreezeSupervisor,
    /// The command is killed by somebody else.
    KillCommand,
}

/// What happens between the workers and the API.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ApiFault {
    /// A share of requests is answered with 500.
    Errors(f64),
    /// A share of connections is reset.
    Resets(f64),
    /// A share of requests is carried out, and the answers are lost.
    LostReplies(f64),
    /// Nothing is answered.
    BlackHole,
    /// Everything is answered with 429.
    Storm,
    /// Nothing is answered in time.
    Slowness,
    /// The API is away: connections are reset, websockets are cut.
    Outage,
    /// Websockets are cut.
    CutWebsockets,
}

/// What a user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserAct {
    /// Cancels a run.
    Cancel(usize),
    /// Deletes a run that ends by itself.
    DeleteRun(usize),
    /// Deletes the deployment of a run.
    DeleteDeployment(usize),
    /// Deletes a queue.
    DeleteQueue,
    /// Deletes a pool.
    DeletePool,
    /// Pauses a pool for a while.
    PausePool,
}

impl Mishap {
    /// Its kind, for the summary.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Worker { strike, .. } => match strike {
                WorkerStrike::Kill => "worker killed",
                WorkerStrike::Stop => "worker stopped",
                WorkerStrike::StopTwice => "worker stopped twice",
                WorkerStrike::Freeze => "worker frozen",
            },
            Self::Run { strike, .. } => match strike {
                RunStrike::KillSupervisor => "supervisor killed",
                RunStrike::FreezeSupervisor => "supervisor frozen",
                RunStrike::KillCommand => "command killed",
            },
            Self::Api(fault) => match fault {
                ApiFault::Errors(_) => "answers of 500",
                ApiFault::Resets(_) => "resets",
                ApiFault::LostReplies(_) => "lost replies",
                ApiFault::BlackHole => "black hole",
                ApiFault::Storm => "storm of 429",
                ApiFault::Slowness => "slow API",
                ApiFault::Outage => "outage",
                ApiFault::CutWebsockets => "websockets cut",
            },
            Self::User(act) => match act {
                UserAct::Cancel(_) => "run cancelled",
                UserAct::DeleteRun(_) => "run deleted",
                UserAct::DeleteDeployment(_) => "deployment deleted",
                UserAct::DeleteQueue => "queue deleted",
                UserAct::DeletePool => "pool deleted",
                UserAct::PausePool => "pool paused",
            },
            Self::FillDisk => "disk full",
        }
    }
}
