//! Sizes of disks, and the amounts of processor and memory of a pod.

use crate::validation::{form, text};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt};

/// The rule of a [`DiskSize`], for fields that have rules of their own beside it.
pub(crate) fn disk_size_form() -> serde_json::Value {
    form("^([1-9][0-9]{0,4}Gi|[1-9][0-9]?Ti)$", "a disk size in whole GiB or TiB", "100Gi or 2Ti")
}

const CPU_PATTERN: &str =
    r"^([1-9][0-9]{0,2}(\.[0-9]{1,3})?|0\.([1-9][0-9]{0,2}|0[1-9][0-9]?|00[1-9])|[1-9][0-9]{0,5}m)$";
const MEMORY_PATTERN: &str = "^[1-9][0-9]{0,6}(Mi|Gi|Ti|M|G|T)$";
const LENGTH_MAX: u32 = 12;

/// A text that is not the size or amount it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {what}")]
pub struct SizeError {
    /// What was written.
    pub text: String,
    /// What it should have been, with an example.
    pub what: &'static str,
}

/// The size of a disk as it was written: whole GiB or TiB, for example `100Gi`, `2Ti`.
///
/// Compute Engine counts disks in GiB, so nothing finer can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiskSize(pub String);

impl DiskSize {
    /// A size of whole GiB.
    pub fn from_gib(size_gib: u64) -> Self {
        Self(format!("{size_gib}Gi"))
    }

    /// The size in GiB.
    pub fn gib(&self) -> Result<u64, SizeError> {
        let refuse = || SizeError { text: self.0.clone(), what: "a disk size in whole GiB or TiB, such as 100Gi" };
        let (number, factor) = match (self.0.strip_suffix("Gi"), self.0.strip_suffix("Ti")) {
            (Some(number), _) => (number, 1),
            (None, Some(number)) => (number, 1024),
            (None, None) => return Err(refuse()),
        };
        whole(number).filter(|number| *number > 0).and_then(|number| number.checked_mul(factor)).ok_or_else(refuse)
    }
}

/// An amount of processor as it was written: cores, tenths of cores or millicores, for example `4`, `0.5`, `1500m`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CpuQuantity(pub String);

impl CpuQuantity {
    /// The amount in millicores.
    pub fn millicores(&self) -> Result<u64, SizeError> {
        let refuse = || SizeError { text: self.0.clone(), what: "an amount of processor, such as 4, 0.5 or 500m" };
        let millicores = match self.0.strip_suffix('m') {
            Some(number) => whole(number),
            None => cores_to_millicores(&self.0),
        };
        millicores.filter(|millicores| *millicores > 0).ok_or_else(refuse)
    }
}

/// An amount of memory as it was written, for example `16Gi`, `512Mi`, `8G`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemoryQuantity(pub String);

impl MemoryQuantity {
    /// The amount in bytes.
    pub fn bytes(&self) -> Result<u64, SizeError> {
        const UNITS: [(&str, u64); 6] = [
            ("Mi", 1 << 20),
            ("Gi", 1 << 30),
            ("Ti", 1 << 40),
            ("M", 1_000_000),
            ("G", 1_000_000_000),
            ("T", 1_000_000_000_000),
        ];
        let parsed = UNITS.iter().find_map(|(unit, factor)| Some((self.0.strip_suffix(unit)?, factor)));
        parsed
            .and_then(|(number, factor)| whole(number)?.checked_mul(*factor))
            .filter(|bytes| *bytes > 0)
            .ok_or_else(|| SizeError { text: self.0.clone(), what: "an amount of memory, such as 16Gi or 512Mi" })
    }
}

/// Reads cores with at most three decimals, exactly: a floating-point number would round.
fn cores_to_millicores(text: &str) -> Option<u64> {
    let (cores, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = u32::try_from(part.len()).ok().filter(|digits| (1..=3).contains(digits))?;
    let part_millicores = whole(part)? * 10_u64.pow(3 - digits);
    whole(cores)?.checked_mul(1000)?.checked_add(part_millicores)
}

/// Digits and nothing else: `parse` alone would take a sign.
fn whole(digits: &str) -> Option<u64> {
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

macro_rules! written_text {
    ($name:ident, $schema:literal, $form:expr) => {
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $schema.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                text(LENGTH_MAX, vec![$form])
            }
        }
    };
}

written_text!(DiskSize, "DiskSize", disk_size_form());
written_text!(CpuQuantity, "CpuQuantity", form(CPU_PATTERN, "an amount of processor", "4, 0.5 or 500m"));
written_text!(MemoryQuantity, "MemoryQuantity", form(MEMORY_PATTERN, "an amount of memory", "16Gi or 512Mi"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_counted_in_gib() {
        assert_eq!(DiskSize::from("100Gi").gib(), Ok(100));
        assert_eq!(DiskSize::from("2Ti").gib(), Ok(2048));
        assert_eq!(DiskSize::from_gib(64).gib(), Ok(64));
        for text in ["", "100", "Gi", "0Gi", "1.5Ti", "100G", "-5Gi", "+5Gi", "100 Gi", "99999999999999999999Ti"] {
            assert!(DiskSize::from(text).gib().is_err(), "{text}");
        }
    }

    #[test]
    fn processor_is_counted_in_millicores() {
        for (text, millicores) in [("4", 4000), ("0.5", 500), ("1.25", 1250), ("1500m", 1500), ("0.001", 1)] {
            assert_eq!(CpuQuantity::from(text).millicores(), Ok(millicores), "{text}");
        }
        for text in ["", "0", "0m", "-1", "1.", ".5", "1.2345", "4 cores", "1,5"] {
            assert!(CpuQuantity::from(text).millicores().is_err(), "{text}");
        }
    }

    #[test]
    fn memory_is_counted_in_bytes() {
        for (text, bytes) in
            [("16Gi", 16 << 30), ("512Mi", 512 << 20), ("8G", 8_000_000_000), ("1T", 1_000_000_000_000)]
        {
            assert_eq!(MemoryQuantity::from(text).bytes(), Ok(bytes), "{text}");
        }
        for text in ["", "16", "0Gi", "16gb", "1.5Gi", "-1Gi", "99999999999999999999Ti"] {
            assert!(MemoryQuantity::from(text).bytes().is_err(), "{text}");
        }
    }
}
