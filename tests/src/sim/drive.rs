//! What moves the cloud of a run: time, and chance.

use std::sync::Arc;

use jiff::SignedDuration;

use super::chance;
use super::chronicle::Weight;
use super::shared::{CONTROLLER, Shared, lock};

/// Moves the world: whatever is due happens at its time, one moment after the other.
pub(super) async fn drive(shared: Arc<Shared>) {
    loop {
        let changed = shared.agenda.notified();
        let next = lock(&shared.world).next_event_at();
        let Some(at) = next else {
            changed.await;
            continue;
        };
        let wait = at.duration_since(shared.clock.now()).max(SignedDuration::ZERO);
        tokio::select! {
            biased;
            () = changed => {}
            () = tokio::time::sleep(wait.unsigned_abs()) => shared.world_catches_up(),
        }
    }
}

/// Lays disturbances in wait, where the run has any.
pub(super) async fn disturb(shared: Arc<Shared>) {
    while let Some(wait) = shared.draw(chance::Chance::interval) {
        tokio::time::sleep(wait).await;
        let told = shared.draw(|chance| {
            let mut world = lock(&shared.world);
            chance.disturb(&mut world, &shared.server, CONTROLLER)
        });
        if let Some(Some(told)) = told {
            shared.tally.fault();
            shared.note(Weight::Headline, "chance", told, "");
        }
    }
}
