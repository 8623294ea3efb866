//! Values with a spelling of their own: `a->b`, `log@own`, a name or a mapping.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use schemas::{ResourceId, SiteId};
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The direction of a replication, written `a->b`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Direction {
    /// The source.
    pub from: SiteId,
    /// The receiver.
    pub to: SiteId,
}

impl FromStr for Direction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a direction such as main->secondary");
        let (from, to) = text.split_once("->").ok_or_else(bad)?;
        Ok(Direction { from: from.parse().map_err(|_| bad())?, to: to.parse().map_err(|_| bad())? })
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.from, self.to)
    }
}

impl Serialize for Direction {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Direction {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Direction {
    fn schema_name() -> Cow<'static, str> {
        "Direction".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The direction of a replication: source->receiver.",
            "pattern": "^[a-z0-9][a-z0-9-]*->[a-z0-9][a-z0-9-]*$",
        })
    }
}

/// Something that runs at both sites: a process, perhaps bound to a database.
///
/// Written as a name, or as `{ log-msg: { database: log@own } }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Everywhere {
    /// The process.
    pub process: ResourceId,
    /// The database that it works on. Of one with a site, such as `log@main`, each move sees to it that it works there, and on
    /// the live site's while that site is lost or the move has closed the database there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Share>,
}

/// A database at a site, written `log@own` or `log@main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The database.
    pub database: ResourceId,
    /// The site; `None` for `own`, the process's own site.
    pub site: Option<SiteId>,
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a database at a site, such as log@own or log@main");
        let (database, site) = text.split_once('@').ok_or_else(bad)?;
        let site = match site {
            "own" => None,
            site => Some(site.parse().map_err(|_| bad())?),
        };
        Ok(Share { database: database.parse().map_err(|_| bad())?, site })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.database, self.site.as_ref().map_or("own", SiteId::as_str))
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EverywhereSettings {
    database: Option<Share>,
}

impl<'de> Deserialize<'de> for Everywhere {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Everywhere;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a process's name, or `{ NAME: { database: DATABASE@own } }`")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Everywhere, E> {
                Ok(Everywhere { process: text.parse().map_err(E::custom)?, database: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Everywhere, A::Error> {
                let Some((process, settings)) = map.next_entry::<ResourceId, EverywhereSettings>()? else {
                    return Err(A::Error::invalid_length(0, &self));
                };
                if map.next_key::<String>()?.is_some() {
                    return Err(A::Error::custom("one process to an item; begin another item"));
                }
                Ok(Everywhere { process, database: settings.database })
            }
        }
        d.deserialize_any(Read)
    }
}

impl JsonSchema for Everywhere {
    fn schema_name() -> Cow<'static, str> {
        "Everywhere".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Something that runs at both sites.",
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object", "minProperties": 1, "maxProperties": 1,
                    "additionalProperties": {
                        "type": "object", "additionalProperties": false,
                        "properties": { "database": {
                            "description": "On which database it works: its own site's, or that of one site. Then a move makes it \
                                work there, or on the live site's while that site is lost or its database closed.",
                            "type": "string", "pattern": "^[a-z0-9][a-z0-9-]*@[a-z0-9][a-z0-9-]*$",
                            "examples": ["log@own", "log@main"],
                        } },
                    },
                },
            ],
        })
    }
}

/// A way to prove that a site is closed: `database`, or `{ process: NAME, site: SITE }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FencePath {
    /// Its database service closes it and looks.
    Database,
    /// A process resource that cuts the site's power or network (`closes:` in its host's file).
    Process {
        /// The resource.
        process: ResourceId,
        /// Where its service runs.
        site: SiteId,
    },
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FenceProcess {
    process: ResourceId,
    site: SiteId,
}

impl Serialize for FencePath {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            FencePath::Database => s.serialize_str("database"),
            FencePath::Process { process, site } => {
                let mut map = s.serialize_map(Some(2))?;
                map.serialize_entry("process", process)?;
                map.serialize_entry("site", site)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for FencePath {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = FencePath;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`database` or `{ process: NAME, site: SITE }`")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<FencePath, E> {
                match text {
                    "database" => Ok(FencePath::Database),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FencePath, A::Error> {
                FenceProcess::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    .map(|FenceProcess { process, site }| FencePath::Process { process, site })
            }
        }
        d.deserialize_any(Read)
    }
}

impl JsonSchema for FencePath {
    fn schema_name() -> Cow<'static, str> {
        "FencePath".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let process = generator.subschema_for::<FenceProcess>();
        json_schema!({
            "description": "A way to prove that a site is closed.",
            "anyOf": [{ "const": "database" }, process],
        })
    }
}
