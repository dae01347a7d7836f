//! What a guest tells the outside: guest attributes and the serial console. And where instances are: networks.

use serde_json::{Value, json};

use super::errors::Refusal;
use super::route::Call;
use super::wire::{elements, fingerprint, last_part, members, reference, text};
use super::{Place, World, catalogue};

impl World {
    pub(super) fn instances_get_guest_attributes(&self, call: &Call) -> Result<Value, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        if !instance.guest_attributes_enabled() {
            return Err(Refusal::condition_not_met("Guest attributes endpoint access is disabled."));
        }
        let link = self.links.link(&format!("{}/getGuestAttributes", self.instance_path(&place)));
        let missing = |path: &str| {
            Refusal::new(404, "notFound", format!("The resource '{path}' of type 'Guest Attribute' was not found."))
        };
        if let Some(key) = call.parameter("variableKey") {
            let (namespace, name) = key.split_once('/').unwrap_or(("", key));
            let value = instance.guest_attributes.get(&(namespace.to_owned(), name.to_owned()));
            let Some(value) = value else { return Err(missing(key)) };
            return Ok(json!({
                "kind": "compute#guestAttributes",
                "variableKey": key,
                "variableValue": value,
                "selfLink": format!("{link}/{key}"),
            }));
        }
        let path = call.parameter("queryPath").unwrap_or_default();
        let (namespace, name) = path.split_once('/').unwrap_or((path, ""));
        let items: Vec<Value> = instance
            .guest_attributes
            .iter()
            .filter(|((space, key), _)| {
                (namespace.is_empty() || space == namespace) && (name.is_empty() || key == name)
            })
            .map(|((space, key), value)| json!({ "namespace": space, "key": key, "value": value }))
            .collect();
        if items.is_empty() {
            return Err(missing(path));
        }
        Ok(json!({
            "kind": "compute#guestAttributes",
            "queryPath": path,
            "queryValue": { "items": items },
            "selfLink": format!("{link}/{path}"),
        }))
    }

    pub(super) fn instances_get_serial_port_output(&self, call: &Call) -> Result<Value, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        let number = |name: &str, default: usize| match call.parameter(name) {
            None => Ok(default),
            Some(digits) => digits.parse().map_err(|_| Refusal::invalid(name, digits, "An integer is expected.")),
        };
        let port = number("port", 1)?;
        if !(1..=4).contains(&port) {
            return Err(Refusal::invalid("port", &port.to_string(), "Must be between 1 and 4."));
        }
        let start = number("start", 0)?.min(instance.serial.len());
        let from = (start..=instance.serial.len()).find(|at| instance.serial.is_char_boundary(*at)).unwrap_or(start);
        let contents = if port == 1 { &instance.serial[from..] } else { "" };
        Ok(json!({
            "kind": "compute#serialPortOutput",
            "contents": contents,
            "start": from.to_string(),
            "next": (from + contents.len()).to_string(),
            "selfLink": self.links.link(&format!("{}/serialPort", self.instance_path(&place))),
        }))
    }

    /// The network interfaces of a new instance, each with an address in its subnetwork.
    pub(super) fn interfaces(&mut self, place: &Place, body: &Value) -> Result<Value, Refusal> {
        let wanted = elements(body, "networkInterfaces").to_vec();
        if wanted.is_empty() {
            let why = "At least one network interface is required.";
            return Err(Refusal::invalid("resource.networkInterfaces", "", why));
        }
        let mut shown = Vec::new();
        for (index, interface) in wanted.iter().enumerate() {
            shown.push(self.interface(place, index, interface)?);
        }
        Ok(Value::Array(shown))
    }

    fn interface(&mut self, place: &Place, index: usize, wanted: &Value) -> Result<Value, Refusal> {
        let field = format!("resource.networkInterfaces[{index}]");
        let region = catalogue::region_of(&place.at).to_owned();
        let subnetwork = self.subnetwork_of(&field, &region, wanted)?;
        let mut shown = members(wanted);
        shown.insert("kind".into(), "compute#networkInterface".into());
        shown.insert("name".into(), format!("nic{index}").into());
        shown.insert("network".into(), text(&subnetwork, "network").into());
        shown.insert("subnetwork".into(), text(&subnetwork, "selfLink").into());
        shown.entry("stackType").or_insert("IPV4_ONLY".into());
        if text(wanted, "networkIP").is_empty() {
            let prefix: Vec<&str> = text(&subnetwork, "ipCidrRange").split('.').take(2).collect();
            let prefix = prefix.join(".");
            let count = self.next_address.entry(prefix.clone()).or_insert(1);
            *count += 1;
            shown.insert("networkIP".into(), format!("{prefix}.{}.{}", *count / 256, *count % 256).into());
        }
        if let Some(configs) = shown.get_mut("accessConfigs").and_then(Value::as_array_mut) {
            for config in configs.iter_mut().filter_map(Value::as_object_mut) {
                config.insert("kind".into(), "compute#accessConfig".into());
                config.entry("type").or_insert("ONE_TO_ONE_NAT".into());
                config.entry("name").or_insert("external-nat".into());
                config.entry("networkTier").or_insert("PREMIUM".into());
            }
        }
        let mark = fingerprint(&Value::Object(shown.clone()));
        shown.insert("fingerprint".into(), mark.into());
        Ok(Value::Object(shown))
    }

    fn subnetwork_of(&self, field: &str, region: &str, wanted: &Value) -> Result<Value, Refusal> {
        let subnetwork = text(wanted, "subnetwork");
        if !subnetwork.is_empty() {
            let field = format!("{field}.subnetwork");
            let Some(found) = reference(subnetwork) else {
                return Err(Refusal::invalid(&field, subnetwork, "The URL is malformed."));
            };
            let elsewhere = found.scope.is_some_and(|(_, at)| at != region);
            let there = self.subnetworks.get(&Place::new(region, found.name)).filter(|_| !elsewhere);
            let why = "The referenced subnetwork resource cannot be found.";
            return there.cloned().ok_or_else(|| Refusal::invalid(&field, subnetwork, why));
        }
        let network = match text(wanted, "network") {
            "" => "default",
            link => last_part(link),
        };
        let link = self.links.link(&format!("projects/{}/global/networks/{network}", self.settings.project));
        let there = self.subnetworks.iter().find(|(place, shown)| place.at == region && text(shown, "network") == link);
        let why = "The referenced network resource cannot be found.";
        there.map(|(_, shown)| shown.clone()).ok_or_else(|| Refusal::invalid(&format!("{field}.network"), network, why))
    }

    /// Adds a network with a subnetwork of the same name in every region.
    pub(super) fn network_add(&mut self, name: &str) {
        let project = self.settings.project.clone();
        let link = self.links.link(&format!("projects/{project}/global/networks/{name}"));
        let mut subnetworks = Vec::new();
        let base = 128 + 8 * self.networks.len();
        for (index, region) in catalogue::REGIONS.iter().enumerate() {
            let cidr = format!("10.{}.0.0/16", base + index);
            subnetworks.push(self.subnetwork_put(region, name, &link, &cidr));
        }
        let shown = json!({
            "kind": "compute#network",
            "id": self.new_number("network").to_string(),
            "creationTimestamp": super::wire::stamp(self.now),
            "name": name,
            "autoCreateSubnetworks": true,
            "mtu": 1460,
            "routingConfig": { "routingMode": "REGIONAL" },
            "selfLink": link,
            "subnetworks": subnetworks,
        });
        self.networks.insert(name.to_owned(), shown);
    }

    pub(super) fn subnetwork_put(&mut self, region: &str, name: &str, network: &str, cidr: &str) -> String {
        let path = format!("projects/{}/regions/{region}/subnetworks/{name}", self.settings.project);
        let link = self.links.link(&path);
        let gateway = cidr.replace(".0/16", ".1").replace(".0/20", ".1");
        let shown = json!({
            "kind": "compute#subnetwork",
            "id": self.new_number("subnetwork").to_string(),
            "creationTimestamp": super::wire::stamp(self.now),
            "name": name,
            "network": network,
            "region": self.region_link(region),
            "ipCidrRange": cidr,
            "gatewayAddress": gateway,
            "privateIpGoogleAccess": true,
            "purpose": "PRIVATE",
            "stackType": "IPV4_ONLY",
            "fingerprint": fingerprint(&json!(path)),
            "selfLink": link,
        });
        self.subnetworks.insert(Place::new(region, name), shown);
        link
    }
}
