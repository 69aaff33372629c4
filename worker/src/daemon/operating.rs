//! What the operator has in hand while the daemon lives: the desk behind the control socket, and SIGHUP.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::Daemon;
use crate::operator::{Desk, DeskServer, Drain, Reloader, Reloading};
use crate::signals::ReloadSignal;

impl Daemon {
    /// Opens the control socket. It is served until the very end of the stop, so it is the caller's to close.
    pub(super) fn open_desk(&self, drains: mpsc::Sender<Drain>) -> Option<DeskServer> {
        let resources = &self.shared.resources;
        let desk = Desk {
            daemon: self.folder.name().to_owned(),
            started: Timestamp::now(),
            client: resources.client.clone(),
            live: resources.live.clone(),
            timelines: resources.timelines.clone(),
            journal: Arc::clone(&resources.journal),
            pools: self.plans.clone(),
            cordoned: self.shared.cordoned.clone(),
            course: self.course.clone(),
            drains,
        };
        DeskServer::start(desk, Arc::clone(&self.folder))
    }

    /// Reads the settings again with every SIGHUP.
    pub(super) fn reload_with(&self, reloading: Reloading, hangups: ReloadSignal) {
        let reloader = Reloader {
            reloading,
            shutdown: self.shutdown.clone(),
            limits: self.plans.iter().map(|pool| (pool.plan.pool.clone(), pool.limit.clone())).collect(),
        };
        self.loops.spawn(reloader.run(hangups, self.stop.clone()));
    }
}
