//! What the operator has in hand while the daemon lives: the desk behind the control socket, and SIGHUP.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::Daemon;
use super::workspace::Workspace;
use crate::operator::{Desk, DeskServer, Drain, Reloader, Reloading};
use crate::plan::PoolPlan;
use crate::signals::ReloadSignal;

impl Daemon {
    /// Opens the control socket, in the folder of the first API. It is served until the very end of the stop, so it is the
    /// caller's to close.
    pub(super) fn open_desk(&self, drains: mpsc::Sender<Drain>) -> Option<DeskServer> {
        let folder = Arc::clone(&self.workspaces.first()?.folder);
        let desk = Desk {
            daemon: folder.name().to_owned(),
            started: Timestamp::now(),
            workspaces: self.workspaces.iter().map(Workspace::for_desk).collect(),
            live: self.shared.live.clone(),
            timelines: self.shared.timelines.clone(),
            pools: self.shared.pools.clone(),
            budget: self.shared.budget.clone(),
            cordoned: self.shared.cordoned.clone(),
            course: self.course.clone(),
            drains,
        };
        DeskServer::start(desk, self.monitoring.routes(), folder)
    }

    /// Reads the settings again with every SIGHUP. The pools that are wanted then are told through `pools`.
    pub(super) fn reload_with(&self, reloading: Reloading, hangups: ReloadSignal, pools: mpsc::Sender<Vec<PoolPlan>>) {
        let most = self.shared.budget.most().clone();
        let policy = self.shared.policy.clone();
        let pulse = self.shared.liveness.pulse("reading of settings", super::OBSERVATIONS);
        let reloader = Reloader { reloading, shutdown: self.shutdown.clone(), policy, max_runs: most, pools, pulse };
        self.loops.spawn(reloader.run(hangups, self.stop.clone()));
    }
}
