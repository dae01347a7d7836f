//! Kubernetes quantities, read: `500m`, `2`, `8Gi`, `1e9`. What is not one reads as none, and is left to the API server to refuse.

/// Thousandths, rounded up as the scheduler does.
#[must_use]
pub fn millis(text: &str) -> Option<u64> {
    if let Some(milli) = text.strip_suffix('m') {
        return milli.parse().ok();
    }
    scaled(text, 1000.0)
}

/// Whole units, for example bytes, rounded up.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    if let Some(milli) = text.strip_suffix('m') {
        return milli.parse::<u64>().ok().map(|milli| milli.div_ceil(1000));
    }
    scaled(text, 1.0)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "quantities that we meet are far below 2^53, and the bound is checked"
)]
fn scaled(text: &str, factor: f64) -> Option<u64> {
    const SUFFIXES: [(&str, f64); 12] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let (digits, unit) = SUFFIXES
        .iter()
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|digits| (digits, *unit)))
        .unwrap_or((text, 1.0));
    let number: f64 = digits.parse().ok()?;
    let value = (number * unit * factor).ceil();
    (value.is_finite() && value >= 0.0 && value < u64::MAX as f64).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        assert_eq!(["500m", "2", "1.5", "x"].map(millis), [Some(500), Some(2000), Some(1500), None]);
        assert_eq!(
            ["8Gi", "128974848", "129M", "1e3", "1500m", "-1"].map(bytes),
            [Some(8 << 30), Some(128_974_848), Some(129_000_000), Some(1000), Some(2), None]
        );
    }
}
