//! Reads of what the cloud itself has: machine types, zones, images, networks.

use serde_json::Value;

use super::catalogue::{self, Links};
use super::errors::Refusal;
use super::listing::Collection;
use super::pages::{Item, made, made_in_zone};
use super::route::{Api, Call, Scope};
use super::wire::{reference, text};
use super::{Place, World};

impl World {
    /// The catalogue's way to write links.
    pub(super) fn catalogue_links(&self) -> Links<'_> {
        Links { base_url: self.settings.base_url.trim_end_matches('/'), project: &self.settings.project }
    }

    pub(super) fn catalogue_get(&self, call: &Call) -> Result<Value, Refusal> {
        self.check_scope(call)?;
        let (links, zone, name) = (self.catalogue_links(), call.zone(), call.name.as_str());
        let found = match call.api {
            Api::MachineTypesGet => catalogue::machine_type(zone, name).map(|found| found.to_json(links)),
            Api::AcceleratorTypesGet => catalogue::accelerator_type(zone, name).map(|found| found.to_json(links)),
            _ => catalogue::disk_type(zone, name).map(|found| found.to_json(links)),
        };
        let collection = match call.api {
            Api::MachineTypesGet => "machineTypes",
            Api::AcceleratorTypesGet => "acceleratorTypes",
            _ => "diskTypes",
        };
        let path = format!("projects/{}/zones/{zone}/{collection}/{name}", self.settings.project);
        found.ok_or_else(|| Refusal::not_found(&path))
    }

    pub(super) fn catalogue_items(&self, collection: Collection, zone: &str) -> Vec<Item<'_>> {
        let links = self.catalogue_links();
        match collection {
            Collection::MachineTypes => catalogue::machine_types(zone)
                .iter()
                .map(|found| made_in_zone(zone, &found.name, found.to_json(links)))
                .collect(),
            Collection::AcceleratorTypes => catalogue::accelerator_types(zone)
                .iter()
                .map(|found| made_in_zone(zone, found.name, found.to_json(links)))
                .collect(),
            _ => catalogue::disk_types(zone)
                .iter()
                .map(|found| made_in_zone(zone, found.name, found.to_json(links)))
                .collect(),
        }
    }

    pub(super) fn place_items(&self, call: &Call, collection: Collection) -> Vec<Item<'_>> {
        let links = self.catalogue_links();
        match collection {
            Collection::Zones => catalogue::ZONES
                .iter()
                .filter_map(|zone| Some(made(zone, catalogue::zone_json(links, zone)?)))
                .collect(),
            Collection::Regions => {
                catalogue::REGIONS.iter().filter_map(|region| Some(made(region, self.region_json(region)?))).collect()
            }
            _ if call.project == self.settings.project => {
                self.own_images.iter().map(|(name, shown)| made(name, shown.clone())).collect()
            }
            _ => catalogue::images(&call.project).map(|image| made(image.name, image.to_json(links))).collect(),
        }
    }

    pub(super) fn zones_get(&self, call: &Call) -> Result<Value, Refusal> {
        let path = format!("projects/{}/zones/{}", self.settings.project, call.name);
        catalogue::zone_json(self.catalogue_links(), &call.name).ok_or_else(|| Refusal::not_found(&path))
    }

    /// An image by any of its references; a family gives its newest one. A view of a family (gcloud writes
    /// `zones/-/imageFamilyViews/debian-12`) is that family, as all zones have the same images here.
    pub(super) fn image_of(&self, link: &str) -> Option<Value> {
        let found = reference(link)?;
        let project = found.project.unwrap_or_else(|| self.settings.project.clone());
        match (found.collection.as_deref(), found.name.strip_prefix("family/")) {
            (Some("imageFamilyViews"), _) => self.image_in_family(&project, &found.name),
            (None | Some("images"), Some(family)) => self.image_in_family(&project, family),
            (None | Some("images"), None) => self.image_named(&project, &found.name),
            (Some(_), _) => None,
        }
    }

    fn image_named(&self, project: &str, name: &str) -> Option<Value> {
        if project == self.settings.project {
            return self.own_images.get(name).cloned();
        }
        catalogue::image(project, name).map(|image| image.to_json(self.catalogue_links()))
    }

    fn image_in_family(&self, project: &str, family: &str) -> Option<Value> {
        if project == self.settings.project {
            let own = self.own_images.values().filter(|image| text(image, "family") == family);
            return own.max_by_key(|image| (text(image, "creationTimestamp"), text(image, "name"))).cloned();
        }
        catalogue::image_from_family(project, family).map(|image| image.to_json(self.catalogue_links()))
    }

    pub(super) fn images_get(&self, call: &Call) -> Result<Value, Refusal> {
        let path = format!("projects/{}/global/images/{}", call.project, call.name);
        self.image_named(&call.project, &call.name).ok_or_else(|| Refusal::not_found(&path))
    }

    pub(super) fn images_get_from_family(&self, call: &Call) -> Result<Value, Refusal> {
        let path = format!("projects/{}/global/images/family/{}", call.project, call.name);
        self.image_in_family(&call.project, &call.name).ok_or_else(|| Refusal::not_found(&path))
    }

    pub(super) fn networks_get(&self, call: &Call) -> Result<Value, Refusal> {
        let path = format!("projects/{}/global/networks/{}", self.settings.project, call.name);
        self.networks.get(&call.name).cloned().ok_or_else(|| Refusal::not_found(&path))
    }

    pub(super) fn subnetworks_get(&self, call: &Call) -> Result<Value, Refusal> {
        self.check_scope(call)?;
        let region = match &call.scope {
            Scope::Region(region) => region.as_str(),
            Scope::Zone(_) | Scope::Global => "",
        };
        let path = format!("projects/{}/regions/{region}/subnetworks/{}", self.settings.project, call.name);
        self.subnetworks.get(&Place::new(region, &call.name)).cloned().ok_or_else(|| Refusal::not_found(&path))
    }
}
