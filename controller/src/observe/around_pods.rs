//! What a pod hangs on that is not watched: the `ConfigMap` beside it, and the driver that mounts its buckets.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::storage::v1::CSIDriver;
use kube::Api;
use rehost_api::shape::HostShape;
use rehost_api::status::{HostKind, HostRecord, NotebookStatus, Step, Transition};

use super::Observer;
use super::look::{recorded, seen};
use crate::desired::Subject;
use crate::plan::returned_name;
use crate::seen::Seen;
use crate::watch::slim::{BUCKET_DRIVER, PodRole, PodSeen, SettingsSeen};

impl Observer {
    /// Whose the `ConfigMap`s of these names are. What is in them is not read.
    pub(super) async fn settings(
        &self,
        names: BTreeSet<String>,
        subject: &Subject,
    ) -> BTreeMap<String, Seen<SettingsSeen>> {
        let api: Api<ConfigMap> = Api::namespaced(self.sources.client.clone(), &subject.namespace);
        let looks = names.into_iter().map(|name| async {
            let found = seen(api.get_metadata_opt(&name).await);
            (name, found.map(|found| SettingsSeen::of(&found.metadata)))
        });
        join_all(looks).await.into_iter().collect()
    }

    /// Whether pods can mount buckets here, where one is about to.
    pub(super) async fn bucket_driver(&self, transition: Option<&Transition>) -> Seen<()> {
        if !transition.and_then(about_to_be_made).is_some_and(mounts_buckets) {
            return Seen::Unknown("no pod with buckets is about to be made".to_owned());
        }
        let api: Api<CSIDriver> = Api::all(self.sources.client.clone());
        seen(api.get_metadata_opt(BUCKET_DRIVER).await).map(|_| ())
    }
}

/// The `ConfigMap`s to look for: beside every pod that the status names or may return to, and beside every one that is there.
pub(super) fn settings_names(previous: &NotebookStatus, pods: &Seen<Vec<PodSeen>>) -> BTreeSet<String> {
    let transition = previous.transition.as_ref();
    let from = transition.and_then(|transition| Some((transition.from.as_ref()?, transition)));
    let back = from.map(|(host, transition)| HostRecord { name: returned_name(host, transition), ..host.clone() });
    let named = recorded(previous).chain(&back).filter(|host| host.kind == HostKind::Pod);
    let there = pods.present().into_iter().flatten().filter(|pod| pod.role == PodRole::Host);
    named.map(|host| host.name.clone()).chain(there.map(|pod| pod.name.clone())).collect()
}

/// The host that the present step may make.
fn about_to_be_made(transition: &Transition) -> Option<&HostRecord> {
    match transition.step {
        Step::Boot | Step::Obtain | Step::Move => transition.to.as_ref(),
        // The place of a pod that lets go is kept, for the case that it must come back.
        Step::LetGo | Step::Return => transition.from.as_ref(),
        Step::Home
        | Step::Snapshot
        | Step::Copy
        | Step::Prove
        | Step::TakeBack
        | Step::ProveBack
        | Step::Abandon
        | Step::Halt
        | Step::Suspend
        | Step::Resume
        | Step::Set
        | Step::Resize
        | Step::Grow
        | Step::Release
        | Step::Dispose => None,
    }
}

fn mounts_buckets(host: &HostRecord) -> bool {
    match &host.last_shape {
        HostShape::Vm(_) => false,
        HostShape::Pod(pod) => !pod.buckets.is_empty(),
    }
}
