//! The messages of a batch, from a JSON array or from lines.
//!
//! Lines are read as they come: only the one that is not complete yet is kept as text. An array is kept until it is
//! complete, and then read item by item. What is kept is taken from the memory that all requests share; the number of
//! items and the size of each are bounded before anything is made of them.

use std::fmt;

use actix_web::web;
use futures_util::StreamExt;
use posthaste_store::message::NewMessage;
use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::batcher::LARGEST_BATCH;
use crate::error::ApiError;
use crate::json::{self, Kind, broken};
use crate::limits::check_nesting;
use crate::memory::Reservation;

/// One message of a batch, or what is wrong with it.
pub type Item = Result<NewMessage, ApiError>;

/// What has been read of a batch.
pub struct Items<'a> {
    read: Vec<Item>,
    reserved: Reservation,
    /// The largest item, in bytes as it came.
    largest_item: usize,
    /// The largest request, in bytes.
    largest: usize,
    /// Reads one item, and makes sure that the caller may store it.
    read_one: &'a dyn Fn(&str) -> Item,
}

impl<'a> Items<'a> {
    pub fn new(
        reserved: Reservation,
        largest_item: usize,
        largest: usize,
        read_one: &'a dyn Fn(&str) -> Item,
    ) -> Items<'a> {
        Items { read: Vec::new(), reserved, largest_item, largest, read_one }
    }

    /// Reads a request's body, and gives the items with the memory that they take.
    ///
    /// # Errors
    /// It is too large, too slow, has too many items, or is no array.
    pub async fn receive(mut self, kind: Kind, payload: web::Payload) -> Result<(Vec<Item>, Reservation), ApiError> {
        match kind {
            Kind::Lines => self.receive_lines(payload).await?,
            Kind::Json | Kind::Text | Kind::Other => self.receive_array(kind, payload).await?,
        }
        Ok((self.read, self.reserved))
    }

    async fn receive_lines(&mut self, mut payload: web::Payload) -> Result<(), ApiError> {
        let (mut total, mut line) = (0, Line::default());
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(broken)?;
            total += chunk.len();
            if total > self.largest {
                return Err(ApiError::BodyTooLarge);
            }
            self.reserved.grow(chunk.len())?;
            line.take(&chunk, self.largest_item, |complete| self.line(complete))?;
        }
        line.end(|complete| self.line(complete))
    }

    async fn receive_array(&mut self, kind: Kind, payload: web::Payload) -> Result<(), ApiError> {
        let bytes = json::receive(payload, self.largest, &mut self.reserved).await?;
        match kind {
            Kind::Json if bytes.is_empty() => Err(ApiError::EmptyJson),
            Kind::Json => self.array(std::str::from_utf8(&bytes).map_err(|_| ApiError::InvalidJson)?),
            Kind::Lines | Kind::Text | Kind::Other => Err(not_an_array()),
        }
    }

    /// Reads all items of an array.
    fn array(&mut self, json: &str) -> Result<(), ApiError> {
        if !json.trim_ascii_start().starts_with('[') {
            serde_json::from_str::<IgnoredAny>(json).map_err(|_| ApiError::InvalidJson)?;
            return Err(not_an_array());
        }
        let mut failed = None;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let visitor = Array { items: self, failed: &mut failed };
        let read = deserializer.deserialize_seq(visitor).and_then(|()| deserializer.end());
        match (failed, read) {
            (Some(error), _) => Err(error),
            (None, read) => read.map_err(|_| ApiError::InvalidJson),
        }
    }

    /// Reads a line; `None` for one that is too long.
    fn line(&mut self, line: Option<&[u8]>) -> Result<(), ApiError> {
        match line.map(<[u8]>::trim_ascii) {
            None => self.push(Err(ApiError::BodyTooLarge)),
            Some(b"") => Ok(()),
            Some(line) => match std::str::from_utf8(line) {
                Ok(json) => self.item(json),
                Err(_) => self.push(Err(ApiError::InvalidJson)),
            },
        }
    }

    fn item(&mut self, json: &str) -> Result<(), ApiError> {
        // Not even read, where there is no room for it.
        self.room()?;
        let item = match json.len() > self.largest_item {
            true => Err(ApiError::BodyTooLarge),
            false => check_nesting(json.as_bytes()).and_then(|()| (self.read_one)(json)),
        };
        self.push(item)
    }

    fn push(&mut self, item: Item) -> Result<(), ApiError> {
        self.room()?;
        self.read.push(item);
        Ok(())
    }

    fn room(&self) -> Result<(), ApiError> {
        if self.read.len() < LARGEST_BATCH { Ok(()) } else { Err(ApiError::BatchTooLarge) }
    }
}

fn not_an_array() -> ApiError {
    ApiError::Validation("body must be array".to_owned())
}

/// Reads the items of an array as they are met.
struct Array<'i, 'a> {
    items: &'i mut Items<'a>,
    /// What ends the reading, which serde's errors cannot carry.
    failed: &'i mut Option<ApiError>,
}

impl<'de> Visitor<'de> for Array<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<&RawValue>()? {
            if let Err(error) = self.items.item(item.get()) {
                *self.failed = Some(error);
                return Err(A::Error::custom("enough"));
            }
        }
        Ok(())
    }
}

/// The line that is not complete yet.
#[derive(Debug, Default)]
struct Line {
    text: Vec<u8>,
    /// It is too long: the rest of it is left out.
    too_long: bool,
}

impl Line {
    /// Takes more text, and gives each line that it completes, or `None` for one longer than `longest`.
    fn take(
        &mut self,
        chunk: &[u8],
        longest: usize,
        mut complete: impl FnMut(Option<&[u8]>) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        for part in chunk.split_inclusive(|&byte| byte == b'\n') {
            let (part, ends) = part.strip_suffix(b"\n").map_or((part, false), |part| (part, true));
            if self.too_long || self.text.len() + part.len() > longest {
                self.text.clear();
                if !self.too_long {
                    complete(None)?;
                }
                self.too_long = !ends;
            } else if ends && self.text.is_empty() {
                complete(Some(part))?;
            } else {
                self.text.extend_from_slice(part);
                if ends {
                    complete(Some(&self.text))?;
                    self.text.clear();
                }
            }
        }
        Ok(())
    }

    /// Gives the last line, which need not be ended.
    fn end(self, mut complete: impl FnMut(Option<&[u8]>) -> Result<(), ApiError>) -> Result<(), ApiError> {
        if self.text.is_empty() { Ok(()) } else { complete(Some(&self.text)) }
    }
}

#[cfg(test)]
mod tests;
