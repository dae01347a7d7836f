//! Looking at single objects.

use google_cloud_compute_v1::model as sdk;
use rehost_api::guest::{GuestReport, REPORT_KEY, REPORT_NAMESPACE};

use super::errors::{Cause, GceError};
use super::model::{AcceleratorType, Disk, ImageFacts, Instance, MachineType, Operation, Quota, Snapshot};
use super::mutation::{Place, Scope};
use super::{Gce, convert};
use crate::seen::Seen;

/// One page of the operations of one scope, the newest first.
pub(super) struct OperationsPage {
    pub(super) operations: Vec<Operation>,
    pub(super) next: Option<String>,
}

/// What a look found. Only the API's own word for it is absence: somebody on the way who answers 404 knows nothing.
fn seen<T>(found: Result<T, GceError>) -> Seen<T> {
    match found {
        Ok(thing) => Seen::Present(thing),
        Err(GceError { cause: Cause::NotFound, reason: Some(_), .. }) => Seen::Absent,
        Err(error) => Seen::Unknown(error.to_string()),
    }
}

impl Gce {
    /// An instance as it is now, its metadata and settings included.
    pub async fn instance(&self, place: &Place, name: &str) -> Seen<Instance> {
        let request = self.clients().instances.get();
        let request = request.set_project(&place.project).set_zone(&place.zone).set_instance(name);
        let found = self.ask("instances.get", request.send()).await;
        seen(found.and_then(|found| convert::instance(place, found)))
    }

    /// A disk as it is now.
    pub async fn disk(&self, place: &Place, name: &str) -> Seen<Disk> {
        let request = self.clients().disks.get();
        let request = request.set_project(&place.project).set_zone(&place.zone).set_disk(name);
        let found = self.ask("disks.get", request.send()).await;
        seen(found.and_then(|found| convert::disk(place, found)))
    }

    /// A snapshot as it is now.
    pub async fn snapshot(&self, project: &str, name: &str) -> Seen<Snapshot> {
        let request = self.clients().snapshots.get().set_project(project).set_snapshot(name);
        seen(self.ask("snapshots.get", request.send()).await.and_then(convert::snapshot))
    }

    /// What the guest of an instance says of itself: Absent while it has said nothing (or the instance is not there),
    /// Unknown when what it says cannot be read.
    pub async fn guest_report(&self, place: &Place, name: &str) -> Seen<GuestReport> {
        let request = self.clients().instances.get_guest_attributes();
        let request = request.set_project(&place.project).set_zone(&place.zone).set_instance(name);
        let request = request.set_query_path(format!("{REPORT_NAMESPACE}/{REPORT_KEY}"));
        let found = self.ask("instances.getGuestAttributes", request.send()).await;
        seen(found).and_then(|attributes| match convert::guest_report(&attributes) {
            Ok(Some(report)) => Seen::Present(report),
            Ok(None) => Seen::Absent,
            Err(why) => Seen::Unknown(why),
        })
    }

    /// A machine type as the zone offers it. [`super::catalogue::Catalogue`] remembers the answer.
    pub async fn machine_type(&self, place: &Place, name: &str) -> Seen<MachineType> {
        let request = self.clients().machine_types.get();
        let request = request.set_project(&place.project).set_zone(&place.zone).set_machine_type(name);
        let found = self.ask("machineTypes.get", request.send()).await;
        seen(found.and_then(|found| convert::machine_type(place, found)))
    }

    /// A GPU as the zone offers it for attaching.
    pub async fn accelerator_type(&self, place: &Place, name: &str) -> Seen<AcceleratorType> {
        let request = self.clients().accelerator_types.get();
        let request = request.set_project(&place.project).set_zone(&place.zone).set_accelerator_type(name);
        let found = self.ask("acceleratorTypes.get", request.send()).await;
        seen(found.and_then(|found| convert::accelerator_type(place, found)))
    }

    /// The image that `reference` means now: `projects/P/global/images/I` or `projects/P/global/images/family/F`, as a
    /// link or without its beginning; `project` is meant where the reference names none.
    pub async fn image(&self, project: &str, reference: &str) -> Seen<ImageFacts> {
        let wanted = ImageReference::parse(project, reference);
        let found = if wanted.family {
            let request = self.clients().images.get_from_family();
            let request = request.set_project(wanted.project).set_family(wanted.name);
            self.ask("images.getFromFamily", request.send()).await
        } else {
            let request = self.clients().images.get().set_project(wanted.project).set_image(wanted.name);
            self.ask("images.get", request.send()).await
        };
        seen(found.and_then(|found| convert::image(wanted.project, found)))
    }

    /// The quotas of a region, with what is used of them now.
    pub async fn region_quota(&self, project: &str, region: &str) -> Seen<Vec<Quota>> {
        let request = self.clients().regions.get().set_project(project).set_region(region);
        seen(self.ask("regions.get", request.send()).await).map(|region| convert::quotas(&region.quotas))
    }

    /// The quotas of a whole project, with what is used of them now.
    pub async fn project_quota(&self, project: &str) -> Seen<Vec<Quota>> {
        let request = self.clients().projects.get().set_project(project);
        seen(self.ask("projects.get", request.send()).await).map(|project| convert::quotas(&project.quotas))
    }

    /// An operation by its name. The cloud forgets them after some days.
    pub async fn operation(&self, scope: &Scope, name: &str) -> Seen<Operation> {
        let clients = self.clients();
        let found = match scope {
            Scope::Zone(place) => {
                let request = clients.zone_operations.get().set_project(&place.project).set_zone(&place.zone);
                self.ask("zoneOperations.get", request.set_operation(name).send()).await
            }
            Scope::RegionOf(place) => {
                let request = clients.region_operations.get().set_project(&place.project).set_region(place.region());
                self.ask("regionOperations.get", request.set_operation(name).send()).await
            }
            Scope::Global { project } => {
                let request = clients.global_operations.get().set_project(project);
                self.ask("globalOperations.get", request.set_operation(name).send()).await
            }
        };
        seen(found.and_then(|found| convert::operation(scope, &found)))
    }

    /// One page of all operations of a scope, the newest first (ours and those of others: the API cannot both filter
    /// and order).
    pub(super) async fn operations_page(
        &self,
        scope: &Scope,
        page_size: u32,
        token: Option<String>,
    ) -> Result<OperationsPage, GceError> {
        let clients = self.clients();
        macro_rules! list {
            ($client:ident, $what:literal, $($set:ident($value:expr)),+) => {{
                let request = clients.$client.list()$(.$set($value))+.set_order_by("creationTimestamp desc");
                let request = request.set_max_results(page_size).set_or_clear_page_token(token);
                self.ask($what, request.send()).await?
            }};
        }
        let list: sdk::OperationList = match scope {
            Scope::Zone(place) => {
                list!(zone_operations, "zoneOperations.list", set_project(&place.project), set_zone(&place.zone))
            }
            Scope::RegionOf(place) => list!(
                region_operations,
                "regionOperations.list",
                set_project(&place.project),
                set_region(place.region())
            ),
            Scope::Global { project } => list!(global_operations, "globalOperations.list", set_project(project)),
        };
        let operations = list.items.iter().map(|found| convert::operation(scope, found)).collect::<Result<_, _>>()?;
        Ok(OperationsPage { operations, next: list.next_page_token.filter(|token| !token.is_empty()) })
    }
}

/// Which image a reference means.
#[derive(Debug, PartialEq, Eq)]
struct ImageReference<'a> {
    project: &'a str,
    family: bool,
    name: &'a str,
}

impl<'a> ImageReference<'a> {
    fn parse(project: &'a str, reference: &'a str) -> Self {
        let parts: Vec<&str> = reference.split('/').collect();
        let named = parts.iter().position(|part| *part == "projects").and_then(|at| parts.get(at + 1));
        let name = parts.last().copied().unwrap_or_default();
        let family = parts.len() >= 2 && parts.get(parts.len() - 2) == Some(&"family");
        Self { project: named.copied().unwrap_or(project), family, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_meant_by_family_or_exactly() {
        let family = ImageReference { project: "other", family: true, name: "notebooks" };
        assert_eq!(ImageReference::parse("p", "projects/other/global/images/family/notebooks"), family);
        assert_eq!(
            ImageReference::parse("p", "https://x/compute/v1/projects/other/global/images/family/notebooks"),
            family
        );
        let exact = ImageReference { project: "p", family: false, name: "i-1" };
        assert_eq!(ImageReference::parse("p", "global/images/i-1"), exact);
        assert_eq!(ImageReference::parse("p", "i-1"), exact);
    }

    #[test]
    fn only_the_api_itself_can_say_that_something_is_absent() {
        let body = br#"{"error":{"code":404,"message":"gone","errors":[{"reason":"notFound"}]}}"#;
        assert!(seen::<()>(Err(GceError::from_body(404, body))).is_absent());
        let proxy = seen::<()>(Err(GceError::from_body(404, b"<html>404 page not found</html>")));
        assert!(matches!(proxy, Seen::Unknown(_)));
    }
}
