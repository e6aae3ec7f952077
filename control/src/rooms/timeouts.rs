//! The timeouts of a room as JSON: each under its name and in milliseconds, for instance `request_ms`.
//!
//! `onmic_room::Timeouts` declares them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use onmic_room::Timeouts;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// All timeouts of a room.
#[derive(Clone, Copy, Debug)]
pub struct TimeoutsMs(pub Timeouts);

/// A change of some timeouts.
#[derive(Clone, Debug, Default)]
pub struct TimeoutsChange(Vec<(&'static str, Duration)>);

impl TimeoutsChange {
    /// Applies the change to `timeouts`.
    pub fn apply(self, timeouts: &mut Timeouts) {
        for (name, duration) in self.0 {
            if let Some(timeout) = timeouts.get_mut(name) {
                *timeout = duration;
            }
        }
    }
}

fn key(name: &str) -> String {
    format!("{name}_ms")
}

impl Serialize for TimeoutsMs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Timeouts::NAMES.len()))?;
        for (name, timeout) in self.0.each() {
            map.serialize_entry(&key(name), &u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for TimeoutsChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ChangeVisitor)
    }
}

struct ChangeVisitor;

impl<'de> Visitor<'de> for ChangeVisitor {
    type Value = TimeoutsChange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timeouts in milliseconds")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TimeoutsChange, A::Error> {
        let mut changes = Vec::new();
        while let Some(member) = map.next_key::<String>()? {
            let Some(name) = Timeouts::NAMES.iter().find(|name| key(name) == member) else {
                let known: Vec<_> = Timeouts::NAMES.iter().map(|name| key(name)).collect();
                return Err(A::Error::custom(format!(
                    "unknown timeout {member:?}, expected one of {}",
                    known.join(", ")
                )));
            };
            // Null means the same as absent, as everywhere in a change.
            if let Some(ms) = map.next_value::<Option<u64>>()? {
                changes.push((*name, Duration::from_millis(ms)));
            }
        }
        Ok(TimeoutsChange(changes))
    }
}

fn object(description: &str, required: bool) -> RefOr<Schema> {
    let ms = || {
        let ms = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        ms.format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
    };
    let object = ObjectBuilder::new().schema_type(Type::Object).description(Some(description));
    let object = Timeouts::NAMES.iter().fold(object, |object, name| {
        let object = object.property(key(name), ms());
        if required { object.required(key(name)) } else { object }
    });
    object.into()
}

impl PartialSchema for TimeoutsMs {
    fn schema() -> RefOr<Schema> {
        object("The longest that each state may wait, in milliseconds.", true)
    }
}

impl ToSchema for TimeoutsMs {
    fn name() -> Cow<'static, str> {
        "TimeoutsMs".into()
    }
}

impl PartialSchema for TimeoutsChange {
    fn schema() -> RefOr<Schema> {
        object("The timeouts to change, in milliseconds; those that are absent stay.", false)
    }
}

impl ToSchema for TimeoutsChange {
    fn name() -> Cow<'static, str> {
        "TimeoutsChange".into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn every_timeout_is_told_and_can_be_changed() {
        let told = to_value(TimeoutsMs(Timeouts::default())).unwrap();
        assert_eq!(told.as_object().unwrap().len(), Timeouts::NAMES.len());
        assert_eq!((&told["request_ms"], &told["cool_down_ms"]), (&json!(120_000), &json!(10_000)));
        let mut timeouts = Timeouts { request: Duration::ZERO, ..Timeouts::default() };
        from_value::<TimeoutsChange>(told).unwrap().apply(&mut timeouts);
        assert_eq!(timeouts, Timeouts::default());
    }

    #[test]
    fn an_unknown_timeout_is_refused_with_the_list_of_known_ones() {
        let refused = from_value::<TimeoutsChange>(json!({"requst_ms": 1})).unwrap_err().to_string();
        assert!(refused.contains("request_ms, grant_ms"), "{refused}");
        assert!(from_value::<TimeoutsChange>(json!({"request_ms": -1})).is_err());
        assert!(from_value::<TimeoutsChange>(json!({"request_ms": null})).unwrap().0.is_empty());
    }
}
