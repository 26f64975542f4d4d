//! Searches that Google ran for an answer: those that `candidates[].groundingMetadata` tells, found while the
//! answer passes. Google bills each distinct search that is not empty
//! (<https://ai.google.dev/gemini-api/docs/google-search#pricing>), or the request once.

use super::{
    key::KeyText,
    lexer::{Lexer, Scan, Visitor},
};
use crate::handoff::record::ToolCalls;

/// Most searches of a kind in one answer; further ones are not counted.
const SEARCHES_LIMIT: usize = 64;

/// Depths in an answer, as the lexer counts them.
const CANDIDATES: usize = 1;
const METADATA: usize = 3;
const LISTS: usize = 4;
const QUERY: usize = 5;
const CHUNK_KIND: usize = 6;

/// Reads an answer, or the objects of a stream one after the other.
#[derive(Debug, Default)]
pub struct Grounding {
    lexer: Lexer,
    reader: Reader,
    failed: bool,
}

impl Grounding {
    /// Reads the next bytes of an object.
    pub fn feed(&mut self, json: &[u8]) {
        self.failed = self.failed || self.lexer.feed(json, &mut self.reader).is_err();
    }

    /// What comes is another object of the same stream.
    pub fn next_object(&mut self) {
        *self = Self {
            reader: Reader {
                found: std::mem::take(&mut self.reader.found),
                ..Reader::default()
            },
            ..Self::default()
        };
    }

    /// What was found so far.
    pub fn calls(&self) -> ToolCalls {
        let found = &self.reader.found;
        ToolCalls {
            web_search: found.web.len() as u64,
            // An answer from maps is billed, whether it tells what was looked up or not.
            maps: (found.maps.len() as u64).max(u64::from(found.is_from_maps)),
            other: found.other.len() as u64,
            ..ToolCalls::default()
        }
    }
}

/// Distinct searches, as hashes.
#[derive(Debug, Default)]
struct Found {
    web: Vec<u64>,
    maps: Vec<u64>,
    /// For pictures, or in the operator's own data.
    other: Vec<u64>,
    is_from_maps: bool,
}

#[derive(Debug, Default)]
struct Reader {
    found: Found,
    in_candidates: bool,
    in_metadata: bool,
    list: List,
    text: KeyText,
    hash: Fnv,
    /// Of the metadata at hand; its chunks tell whether they were looked up on the web or in maps.
    queries: Vec<u64>,
    has_web: bool,
    has_maps: bool,
}

/// A list of the metadata.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum List {
    #[default]
    Unread,
    Queries,
    OtherQueries,
    Chunks,
}

impl Reader {
    /// Whether this string's text says anything.
    fn wants(&self, depth: usize, is_key: bool) -> bool {
        match (is_key, depth) {
            (true, CANDIDATES) => true,
            (true, METADATA) => self.in_candidates,
            (true, LISTS) => self.in_metadata,
            (true, CHUNK_KIND) => self.in_metadata && self.list == List::Chunks,
            (false, QUERY) => {
                self.in_metadata && matches!(self.list, List::Queries | List::OtherQueries)
            }
            (_, _) => false,
        }
    }

    fn key(&mut self, depth: usize) {
        let key = self.text.decoded();
        let key = key.as_deref().unwrap_or_default();
        match depth {
            CANDIDATES => self.in_candidates = key == b"candidates",
            METADATA => self.in_metadata = key == b"groundingMetadata",
            LISTS => {
                self.list = match key {
                    b"webSearchQueries" => List::Queries,
                    b"imageSearchQueries" | b"retrievalQueries" => List::OtherQueries,
                    b"groundingChunks" => List::Chunks,
                    _ => List::Unread,
                }
            }
            _ => {
                self.has_web |= key == b"web";
                self.has_maps |= key == b"maps";
            }
        }
    }

    fn query(&mut self) {
        let Fnv { hash, is_empty } = self.hash;
        if !is_empty {
            match self.list {
                List::Queries => note(&mut self.queries, hash),
                List::OtherQueries => note(&mut self.found.other, hash),
                List::Unread | List::Chunks => {}
            }
        }
    }

    fn end_metadata(&mut self) {
        self.in_metadata = false;
        let (has_web, has_maps) = (self.has_web, self.has_maps);
        self.found.is_from_maps |= has_maps;
        let into = match has_maps && !has_web {
            true => &mut self.found.maps,
            false => &mut self.found.web,
        };
        for query in self.queries.drain(..) {
            note(into, query);
        }
        (self.has_web, self.has_maps) = (false, false);
    }
}

fn note(searches: &mut Vec<u64>, search: u64) {
    if searches.len() < SEARCHES_LIMIT && !searches.contains(&search) {
        searches.push(search);
    }
}

impl Visitor for Reader {
    fn string_begin(&mut self, depth: usize, is_key: bool, _: usize) -> Scan<bool> {
        self.text.clear();
        self.hash = Fnv::default();
        Ok(self.wants(depth, is_key))
    }

    fn string_end(&mut self, depth: usize, is_key: bool, _: usize) -> Scan<()> {
        match (self.wants(depth, is_key), is_key) {
            (true, true) => self.key(depth),
            (true, false) => self.query(),
            (false, _) => {}
        }
        Ok(())
    }

    fn container_begin(&mut self, _: usize, _: bool, _: usize) -> Scan<()> {
        Ok(())
    }

    fn container_end(&mut self, depth: usize, _: usize) -> Scan<()> {
        if depth == METADATA && self.in_metadata {
            self.end_metadata();
        }
        Ok(())
    }

    fn scalar_begin(&mut self, _: usize, _: usize) -> Scan<bool> {
        Ok(false)
    }

    fn scalar_end(&mut self, _: usize, _: usize) -> Scan<()> {
        Ok(())
    }

    fn text(&mut self, piece: &[u8]) -> Scan<()> {
        self.text.push(piece);
        self.hash.push(piece);
        Ok(())
    }
}

/// FNV-1a, which comes to the same however the text is cut.
#[derive(Debug, Clone, Copy)]
struct Fnv {
    hash: u64,
    is_empty: bool,
}

impl Default for Fnv {
    fn default() -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            is_empty: true,
        }
    }
}

impl Fnv {
    fn push(&mut self, text: &[u8]) {
        self.is_empty &= text.is_empty();
        for &byte in text {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(objects: &[&str], size: usize) -> [u64; 3] {
        let mut grounding = Grounding::default();
        for object in objects {
            grounding.next_object();
            for piece in object.as_bytes().chunks(size) {
                grounding.feed(piece);
            }
        }
        let calls = grounding.calls();
        [calls.web_search, calls.maps, calls.other]
    }

    #[test]
    fn distinct_searches_are_counted() {
        // web, maps, other
        let table: [(&[&str], [u64; 3]); 8] = [
            (
                &[
                    r#"{"candidates":[{"groundingMetadata":{"webSearchQueries":["a","b","a",""]}}]}"#,
                ],
                [2, 0, 0],
            ),
            (
                &[
                    r#"{"candidates":[{"groundingMetadata":{"webSearchQueries":["a"]}},{"groundingMetadata":{"webSearchQueries":["a","c"]}}]}"#,
                ],
                [2, 0, 0],
            ),
            // Again in a later chunk.
            (
                &[
                    r#"{"candidates":[{"groundingMetadata":{"webSearchQueries":["a"]}}]}"#,
                    r#"{"candidates":[{"groundingMetadata":{"webSearchQueries":["a","b"]}}]}"#,
                ],
                [2, 0, 0],
            ),
            (
                &[
                    r#"{"candidates":[{"groundingMetadata":{"webSearchQueries":["x","y"],"groundingChunks":[{"maps":{"uri":"u"}}]}}]}"#,
                ],
                [0, 2, 0],
            ),
            (
                &[
                    r#"{"candidates":[{"groundingMetadata":{"groundingChunks":[{"maps":{"web":1}}]}}]}"#,
                ],
                [0, 1, 0],
            ),
            (
                &[
                    r#"{"candidates":[{"groundingMetadata":{"groundingChunks":[{"maps":{}},{"web":{}}],"webSearchQueries":["x"]}}]}"#,
                ],
                [1, 1, 0],
            ),
            (
                &[
                    r#"{"candidates":[{"groundingMetadata":{"imageSearchQueries":["p"],"retrievalQueries":["q","p"]}}]}"#,
                ],
                [0, 0, 2],
            ),
            // What an agent or a model may write is no search.
            (
                &[
                    r#"{"candidates":[{"content":{"webSearchQueries":["a"],"groundingMetadata":{"webSearchQueries":["a"]}},
                "x":{"webSearchQueries":["a"]}}],"groundingMetadata":{"webSearchQueries":["a"]},"y":[{"groundingMetadata":{"webSearchQueries":["a"]}}]}"#,
                ],
                [0, 0, 0],
            ),
        ];
        for (objects, expected) in table {
            for size in [1, 3, 10_000] {
                assert_eq!(calls(objects, size), expected, "{objects:?}");
            }
        }
    }

    #[test]
    fn searches_are_bounded() {
        let queries: Vec<_> = (0..1_000).map(|n| format!("\"{n}\"")).collect();
        let queries = queries.join(",");
        let object = format!(
            r#"{{"candidates":[{{"groundingMetadata":{{"webSearchQueries":[{queries}]}}}}]}}"#
        );
        assert_eq!(calls(&[&object], 100), [SEARCHES_LIMIT as u64, 0, 0]);
        assert_eq!(calls(&["no json", "[]"], 100), [0, 0, 0]);
    }
}
