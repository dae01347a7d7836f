//! Argo CD's health script, run by a Lua of the version that Argo CD's own has the language of (5.1).

use mlua::serde::SerializeOptions;
use mlua::{Lua, LuaSerdeExt, Table};
use serde_json::Value;

use super::Verdict;

/// The script for one kind.
pub struct Health {
    script: String,
}

impl Health {
    /// The script that a patch of Argo CD's ConfigMap has for a kind, as `group_Kind`.
    pub fn of(patch: &Value, kind: &str) -> Self {
        let script = patch["data"][format!("resource.customizations.health.{kind}")].as_str().expect("a script");
        Self { script: script.to_owned() }
    }

    /// What it says of an object, and in which words.
    pub fn judge(&self, object: &Value) -> (Verdict, String) {
        let lua = Lua::new();
        // What is null in JSON is absent in Lua, as in Argo CD.
        let options = SerializeOptions::new().serialize_none_to_null(false).serialize_unit_to_null(false);
        let object = lua.to_value_with(object, options).expect("JSON becomes a table");
        lua.globals().set("obj", object).expect("a global");
        let health: Table = lua.load(&self.script).eval().expect("the script gives a table");
        let status: String = health.get("status").expect("a status");
        let verdict = match status.as_str() {
            "Healthy" => Verdict::Current,
            "Progressing" => Verdict::InProgress,
            "Degraded" => Verdict::Failed,
            other => panic!("Argo CD knows no health {other:?} that a notebook could have"),
        };
        (verdict, health.get("message").expect("a message"))
    }
}
