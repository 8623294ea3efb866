//! A tree as a source of serde: errors keep the place of the innermost value that was read.

use crate::{Key, Located, Node, Place};
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;
use std::fmt;

/// A value did not have the wanted shape.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ShapeError {
    pub(crate) message: String,
    pub(crate) place: Option<Place>,
}

impl ShapeError {
    fn or_at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }
}

impl de::Error for ShapeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), place: None }
    }
}

impl<'de> Deserializer<'de> for &'de Located {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        let done = match &self.node {
            Node::Null => visitor.visit_unit(),
            Node::Bool(flag) => visitor.visit_bool(*flag),
            Node::Number(number) => {
                number.deserialize_any(visitor).map_err(<ShapeError as de::Error>::custom)
            }
            Node::String(text) => visitor.visit_borrowed_str(text),
            Node::List(items) => {
                let mut rest = Items(items.iter());
                let read = visitor.visit_seq(&mut rest);
                let left = rest.0.len();
                read.and_then(|value| match left {
                    0 => Ok(value),
                    left => Err(de::Error::custom(format!(
                        "{} items; {} were expected",
                        items.len(),
                        items.len() - left
                    ))),
                })
            }
            Node::Map(entries) => visitor.visit_map(Entries { entries: entries.iter(), value: None }),
        };
        done.map_err(|error| error.or_at(self.place()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match &self.node {
            Node::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
        .map_err(|error| error.or_at(self.place()))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        visitor.visit_newtype_struct(self).map_err(|error| error.or_at(self.place()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        match &self.node {
            Node::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Node::Map(entries) if entries.len() == 1 => visitor.visit_enum(Variant(&entries[0])),
            _ => Err(de::Error::custom("expected a word, or a mapping with one key")),
        }
        .map_err(|error: ShapeError| error.or_at(self.place()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        let unexpected = match &self.node {
            Node::Map(_) => return self.deserialize_any(visitor),
            Node::List(_) => de::Unexpected::Seq,
            Node::Null => de::Unexpected::Other("null"),
            Node::Bool(flag) => de::Unexpected::Bool(*flag),
            Node::Number(_) => de::Unexpected::Other("a number"),
            Node::String(text) => de::Unexpected::Str(text),
        };
        let error = <ShapeError as de::Error>::invalid_type(unexpected, &"a mapping");
        Err(error.or_at(self.place()))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier
    }
}

struct Items<'de>(std::slice::Iter<'de, Located>);

impl<'de> SeqAccess<'de> for &mut Items<'de> {
    type Error = ShapeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ShapeError> {
        self.0
            .next()
            .map(|item| seed.deserialize(item).map_err(|error| error.or_at(item.place())))
            .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, (Key, Located)>,
    value: Option<&'de Located>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = ShapeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ShapeError> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        let name: StrDeserializer<'de, ShapeError> = key.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|error| error.or_at(key.place()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ShapeError> {
        let value =
            self.value.take().ok_or_else(|| <ShapeError as de::Error>::custom("a value without a key"))?;
        seed.deserialize(value).map_err(|error| error.or_at(value.place()))
    }
}

struct Variant<'de>(&'de (Key, Located));

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = ShapeError;
    type Variant = &'de Located;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, &'de Located), ShapeError> {
        let (key, value) = self.0;
        let name: StrDeserializer<'de, ShapeError> = key.name.as_str().into_deserializer();
        let variant = seed.deserialize(name).map_err(|error| error.or_at(key.place()))?;
        Ok((variant, value))
    }
}

impl<'de> VariantAccess<'de> for &'de Located {
    type Error = ShapeError;

    fn unit_variant(self) -> Result<(), ShapeError> {
        serde::Deserialize::deserialize(self)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ShapeError> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, ShapeError> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        self.deserialize_any(visitor)
    }
}
