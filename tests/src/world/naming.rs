//! What names, labels and metadata must look like.

use serde_json::Value;

use super::errors::Refusal;
use super::wire::{elements, text};

/// Metadata in all, in bytes.
const METADATA_BYTES_MAX: usize = 512 * 1024;
/// One metadata value, in bytes.
const METADATA_VALUE_BYTES_MAX: usize = 256 * 1024;
/// One metadata key is under this, in bytes.
const METADATA_KEY_BYTES: usize = 128;
/// Labels on one resource.
const LABELS_MAX: usize = 64;

/// A resource name: `[a-z]([-a-z0-9]{0,61}[a-z0-9])?`.
pub(super) fn check_name<'n>(field: &str, name: &'n str) -> Result<&'n str, Refusal> {
    if name.is_empty() {
        return Err(Refusal::required(field));
    }
    let fits = name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-');
    if fits {
        return Ok(name);
    }
    let why = "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'";
    Err(Refusal::invalid(field, name, why))
}

fn label_part(part: &str) -> bool {
    part.chars().count() <= 63
        && part
            .chars()
            .all(|one| one == '-' || one == '_' || one.is_numeric() || (one.is_alphabetic() && !one.is_uppercase()))
}

/// Labels as the API takes them.
pub(super) fn check_labels(field: &str, labels: Option<&Value>) -> Result<(), Refusal> {
    let Some(labels) = labels.and_then(Value::as_object) else { return Ok(()) };
    if labels.len() > LABELS_MAX {
        return Err(Refusal::invalid(field, &labels.len().to_string(), "At most 64 labels are allowed."));
    }
    for (key, value) in labels {
        let starts_right = key.chars().next().is_some_and(|first| first.is_alphabetic() && !first.is_uppercase());
        if !starts_right || !label_part(key) {
            let why = format!(
                "Label key '{key}' violates format constraints. The key must start with a lowercase character, can only contain lowercase letters, numeric characters, underscores and dashes. The key can be at most 63 characters long."
            );
            return Err(Refusal::invalid(field, "", &why));
        }
        let value = value.as_str().unwrap_or("\u{0}");
        if !label_part(value) {
            let why = format!(
                "Label value '{value}' violates format constraints. The value can only contain lowercase letters, numeric characters, underscores and dashes. The value can be at most 63 characters long."
            );
            return Err(Refusal::invalid(field, "", &why));
        }
    }
    Ok(())
}

/// Metadata items as the API takes them.
pub(super) fn check_metadata_items(metadata: Option<&Value>) -> Result<(), Refusal> {
    let Some(metadata) = metadata else { return Ok(()) };
    let mut seen: Vec<&str> = Vec::new();
    let mut bytes = 0;
    for (index, item) in elements(metadata, "items").iter().enumerate() {
        let (key, value) = (text(item, "key"), text(item, "value"));
        let field = format!("metadata.items[{index}]");
        let key_fits = !key.is_empty()
            && key.len() < METADATA_KEY_BYTES
            && key.chars().all(|one| one.is_ascii_alphanumeric() || one == '-' || one == '_');
        if !key_fits {
            let why = "Must be a match of regex '[a-zA-Z0-9-_]{1,128}'";
            return Err(Refusal::invalid(&format!("{field}.key"), key, why));
        }
        if seen.contains(&key) {
            return Err(Refusal::invalid(&format!("{field}.key"), key, "Metadata has duplicate keys."));
        }
        if value.len() > METADATA_VALUE_BYTES_MAX {
            let why = format!(
                "Value for field '{field}.value' is too large: maximum size 262144 character(s); actual size {}.",
                value.len()
            );
            return Err(Refusal::invalid(&format!("{field}.value"), "", &why));
        }
        seen.push(key);
        bytes += key.len() + value.len();
    }
    if bytes >= METADATA_BYTES_MAX {
        return Err(Refusal::invalid("metadata", "", "The total size of all metadata must be less than 512 KB."));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_labels_and_metadata() {
        for good in ["a", "rh-1-home", &"a".repeat(63)] {
            assert!(check_name("n", good).is_ok(), "{good}");
        }
        for bad in ["", "A", "1a", "a-", "a.b", &"a".repeat(64)] {
            assert!(check_name("n", bad).is_err(), "{bad}");
        }
        assert!(check_labels("l", Some(&json!({ "rehost-uid": "a_b-1", "empty": "" }))).is_ok());
        assert!(check_labels("l", Some(&json!({ "Upper": "a" }))).is_err());
        assert!(check_labels("l", Some(&json!({ "a": "with.dot" }))).is_err());
        let item = |key: &str, bytes: usize| json!({ "items": [{ "key": key, "value": "x".repeat(bytes) }] });
        assert!(check_metadata_items(Some(&item("k", 256 * 1024))).is_ok());
        assert!(check_metadata_items(Some(&item("k", 256 * 1024 + 1))).is_err());
        assert!(check_metadata_items(Some(&item(&"k".repeat(128), 1))).is_err());
        assert!(check_metadata_items(Some(&json!({ "items": [{ "key": "a" }, { "key": "a" }] }))).is_err());
    }
}
