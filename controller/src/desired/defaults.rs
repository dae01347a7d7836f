//! What is taken where neither the notebook nor its class says anything. One table, so that it can be read in one look.

/// The size of a new home.
pub(super) const HOME_SIZE_GB: i64 = 100;
/// The smallest boot disk of a VM; an image that asks for more gets more.
pub(super) const BOOT_SIZE_GB: i64 = 50;
/// The processor of a pod.
pub(super) const POD_CPU_MILLI: i64 = 2000;
/// The memory of a pod.
pub(super) const POD_MEMORY_BYTES: i64 = 4 << 30;
/// The most that `/dev/shm` gets by itself: half of the memory, but not more than this.
pub(super) const SHARED_MEMORY_BYTES_MAX: i64 = 8 << 30;
/// The least that `/dev/shm` gets by itself, which is what container runtimes give.
pub(super) const SHARED_MEMORY_BYTES_MIN: i64 = 64 << 20;
/// How long the old host is kept, stopped, after a handover.
pub(super) const KEEP_OLD_S: i64 = 15 * 60;
/// For how long nothing must have been going on before a change that waits for idle is made.
pub(super) const RESIZE_IDLE_S: i64 = 5 * 60;
/// The `StorageClass` of claims on home disks of ours, which the chart installs.
pub(super) const STORAGE_CLASS: &str = "rehost-home";

/// The size of `/dev/shm` of a pod that does not say: half of its memory within bounds, and never more than all of it.
pub(super) fn shared_memory_bytes(memory_bytes: i64) -> i64 {
    (memory_bytes / 2).clamp(SHARED_MEMORY_BYTES_MIN, SHARED_MEMORY_BYTES_MAX).min(memory_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_memory_is_half_within_bounds() {
        for (memory_bytes, shared_bytes) in
            [(4 << 30, 2 << 30), (64 << 30, 8 << 30), (100 << 20, 64 << 20), (32 << 20, 32 << 20)]
        {
            assert_eq!(shared_memory_bytes(memory_bytes), shared_bytes, "{memory_bytes}");
        }
    }
}
