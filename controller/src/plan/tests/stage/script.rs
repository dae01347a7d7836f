//! The script: what happens on the stage, as prose for a golden file.

use std::fmt::Write;

use rehost_api::guest::GuestSettings;

use super::Stage;
use crate::gce::model::OnHostMaintenance;
use crate::gce::mutation::Mutation;
use crate::plan::action::{Action, KubeChange};
use crate::plan::{Memory, Situation};

impl Stage {
    pub(super) fn tell(&mut self, situation: &Situation, memory: &Memory, actions: &[Action]) {
        let before = Memory::of(&self.status);
        if let Some(transition) = &memory.transition
            && before.transition.as_ref() != Some(transition)
        {
            let back = transition.reason.as_ref().map_or(String::new(), |reason| format!(", back: {}", reason.reason));
            writeln!(
                self.script,
                "record {} {:?}: {:?}, attempt {}{back}",
                transition.id, transition.kind, transition.step, transition.attempt
            )
            .unwrap();
        } else if memory != &before {
            let host = memory.host.as_ref().map_or("no host", |host| host.shape.as_str());
            let serving = memory.host.as_ref().is_some_and(|host| host.serving_since.is_some());
            let retry = memory.retry.as_ref().map_or(String::new(), |retry| format!(", short of {}", retry.reason));
            writeln!(self.script, "record {host}, serving: {serving}{retry}").unwrap();
        }
        if let Situation::Refused(refusal) = situation {
            writeln!(self.script, "refused {}: {}", refusal.field, refusal.message).unwrap();
        }
        for action in actions {
            writeln!(self.script, "  {}", line(action)).unwrap();
        }
    }

    pub(super) fn tell_end(&mut self) {
        let ready = self.status.conditions.iter().find(|condition| condition.type_ == "Ready").expect("it is written");
        let phase = self.status.phase.expect("it is written");
        writeln!(self.script, "   {phase:?}, Ready={} {}: {}", ready.status, ready.reason, ready.message).unwrap();
    }
}

fn settings(settings: &GuestSettings) -> String {
    format!("{:?} {}{}", settings.role, settings.nonce, if settings.home.format { ", may format" } else { "" })
}

/// One call in one line.
fn line(action: &Action) -> String {
    let mutation = match action {
        Action::Kube(change) => return kube_line(change),
        Action::Cloud { mutation, .. } => mutation,
    };
    let more = match mutation {
        Mutation::InsertDisk { place, disk } => match &disk.snapshot {
            Some(snapshot) => {
                format!(": {} GiB {} in {}, a copy of {snapshot}", disk.size_gb, disk.disk_type, place.zone)
            }
            None => format!(": {} GiB {}", disk.size_gb, disk.disk_type),
        },
        Mutation::CreateSnapshot { snapshot, .. } => {
            format!(": {} {}", snapshot.labels.get("rehost-role").map_or("", String::as_str), snapshot.name)
        }
        Mutation::ResizeDisk { size_gb, .. } => format!(": {size_gb} GiB"),
        Mutation::InsertInstance { instance, .. } => {
            let gpus: Vec<_> = instance.accelerators.iter().map(|it| format!(" + {} {}", it.count, it.kind)).collect();
            let gpus = gpus.concat();
            let maintenance = match instance.scheduling.on_host_maintenance {
                OnHostMaintenance::Migrate => "migrates",
                OnHostMaintenance::Terminate => "terminates",
            };
            let home = instance.home.as_ref().map_or("no home", |_| "with the home");
            format!(": {}{gpus}, {maintenance}, {home}, {}", instance.machine_type, settings(&instance.settings))
        }
        Mutation::SetMachineType { machine_type, .. } => format!(": {machine_type}"),
        Mutation::SetAccelerators { accelerators, .. } => {
            format!(": {:?}", accelerators.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>())
        }
        Mutation::SetScheduling { scheduling, .. } => format!(": {:?}", scheduling.on_host_maintenance),
        Mutation::SetSettings { settings: new, .. } => format!(": {}", settings(new)),
        Mutation::LabelDisk { labels, .. } => format!(": {}", labels.get("rehost-role").map_or("", String::as_str)),
        Mutation::AttachDisk { disk, .. } => format!(": {disk}"),
        Mutation::DetachDisk { device_name, .. } => format!(": {device_name}"),
        Mutation::DeleteDisk { .. }
        | Mutation::DeleteSnapshot { .. }
        | Mutation::DeleteInstance { .. }
        | Mutation::StopInstance { .. }
        | Mutation::StartInstance { .. }
        | Mutation::SuspendInstance { .. }
        | Mutation::ResumeInstance { .. }
        | Mutation::ResetInstance { .. }
        | Mutation::LabelInstance { .. }
        | Mutation::SetDiskAutoDelete { .. } => String::new(),
    };
    format!("{} {}{more}", mutation.verb(), mutation.target())
}

fn kube_line(change: &KubeChange) -> String {
    match change {
        KubeChange::AddFinalizer => "add the finalizer".into(),
        KubeChange::RemoveFinalizer => "remove the finalizer".into(),
        KubeChange::ApplyService(plan) => format!("Service {}", plan.name),
        KubeChange::ApplySlice(plan) => match plan.endpoint {
            Some((address, ready)) => format!("EndpointSlice: {address}, ready: {ready}"),
            None => "EndpointSlice: empty".into(),
        },
        KubeChange::ApplySettings(plan) => format!("ConfigMap {}: {}", plan.name, settings(&plan.settings)),
        KubeChange::DeleteSettings { name, .. } => format!("delete ConfigMap {name}"),
        KubeChange::CreatePod(plan) => {
            let node = plan.node.as_ref().map_or(String::new(), |node| format!(" on {node}"));
            let claim = plan.claim.as_ref().map_or("without the home", |_| "with the home");
            format!("create {:?} {}{node}, {} m, {claim}", plan.role, plan.name, plan.shape.cpu_milli)
        }
        KubeChange::DeletePod { name, .. } => format!("delete pod {name}"),
        KubeChange::ResizePod { name, cpu_milli, .. } => format!("resize pod {name}: {cpu_milli} m"),
        KubeChange::ApplyVolume(plan) => format!("PersistentVolume {}", plan.handle),
        KubeChange::RetainVolume { name, .. } => format!("retain volume {name}"),
        KubeChange::DeleteVolume { .. } => "delete the PersistentVolume".into(),
        KubeChange::ApplyClaim(plan) => format!("claim of {} GiB", plan.size_gb),
        KubeChange::DeleteClaim { .. } => "delete the claim".into(),
    }
}
