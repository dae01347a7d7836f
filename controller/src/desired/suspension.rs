//! Which hosts cannot be suspended, as far as that is known beforehand. What is not known is tried: Compute Engine refuses what it
//! cannot suspend (too much memory, for one), and a refusal leaves the machine as it was.
//!
//! Source: <https://cloud.google.com/compute/docs/instances/suspend-resume-instance#limitations>. Compute Engine can suspend a VM
//! with local SSDs under conditions of its own; here it is not tried, since what is on them might be lost.

use rehost_api::shape::HostShape;

use super::families;

/// Why a host of this shape cannot be suspended, in a few words; none where it can, or where that is not known.
#[must_use]
pub fn obstacle(shape: &HostShape) -> Option<&'static str> {
    match shape {
        HostShape::Pod(_) => Some("a pod cannot be suspended"),
        HostShape::Vm(vm) if vm.gpu.is_some() => Some("a VM with a GPU cannot be suspended"),
        HostShape::Vm(vm) if vm.local_ssds > 0 => Some("a VM with local SSDs is not suspended"),
        HostShape::Vm(vm) => families::of(&vm.machine_type).and_then(|family| family.cannot_suspend),
    }
}

#[cfg(test)]
mod tests {
    use rehost_api::shape::{Gpu, PodShape, VmShape};

    use super::*;

    fn vm(machine_type: &str) -> VmShape {
        VmShape { machine_type: machine_type.to_owned(), ..VmShape::default() }
    }

    #[test]
    fn gpus_local_ssds_and_pods_cannot_and_what_is_not_known_is_tried() {
        let gpu = VmShape { gpu: Some(Gpu { kind: "nvidia-tesla-t4".into(), count: 1 }), ..vm("n1-standard-4") };
        let ssd = VmShape { local_ssds: 1, ..vm("n1-standard-4") };
        let cannot = [vm("g2-standard-8"), vm("a2-highgpu-1g"), vm("z3-highmem-88"), gpu, ssd].map(HostShape::Vm);
        for shape in cannot.into_iter().chain([HostShape::Pod(PodShape::default())]) {
            assert!(obstacle(&shape).is_some(), "{}", shape.text());
        }
        for machine_type in ["e2-medium", "n1-standard-4", "custom-4-8192", "c4-standard-8", "q9-standard-4"] {
            assert_eq!(obstacle(&HostShape::Vm(vm(machine_type))), None, "{machine_type}");
        }
    }
}
