//! What a request body asks a model to read beside its own text: media, what the provider keeps, tools that the
//! provider runs. Read where a hard limit holds.
//!
//! What is known to be text or the agent's own counts as its bytes; all else is taken for more. Keys that mean more
//! are found in any case, as servers exist that ignore it.

mod words;

use words::{Key, ToolKind, Type, key, tool_kind, type_of};

use super::{
    key::KeyText,
    lexer::{Lexer, Scan, Visitor},
};
use crate::dialect::elsewhere::Endless;

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Images, files, stored conversations: more than the body's bytes say.
    pub is_more: bool,
    pub tools: HostedTools,
    /// How many calls of such tools it allows (`max_tool_calls`).
    pub tool_calls_max: Option<u64>,
    /// Prompts that are answered each for itself.
    pub prompts: u64,
    pub endless: Option<Endless>,
}

/// Tools that the provider runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostedTools {
    pub web_search: bool,
    pub file_search: bool,
    pub code_interpreter: bool,
    /// Anthropic's, in the versions that run no code.
    pub plain_search: bool,
    pub plain_fetch: bool,
    pub other: bool,
    /// Calls that they allow themselves together (`max_uses`).
    pub uses: u64,
    /// One of them says nothing of it.
    pub uses_are_open: bool,
}

impl HostedTools {
    pub fn any(&self) -> bool {
        self.web_search
            || self.file_search
            || self.code_interpreter
            || self.plain_search
            || self.plain_fetch
            || self.other
    }
}

impl Inputs {
    /// `has_keyed_tools`: what a tool is says its key (Converse, Gemini), not its `type`. `None` for what is not one
    /// JSON object.
    pub fn read(body: &[u8], has_keyed_tools: bool) -> Option<Self> {
        let mut lexer = Lexer::default();
        let mut reader = Reader {
            has_keyed_tools,
            ..Reader::default()
        };
        lexer.feed(body, &mut reader).ok()?;
        lexer.is_done().then_some(reader.found)
    }
}

/// What an object or array is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The body's own keys.
    Body,
    Content,
    Tools,
    Tool,
    /// Completions' prompts.
    Prompts,
    /// Anthropic's and OpenAI's rules for long conversations.
    Management,
    /// Converse's fields that it passes on.
    Extra,
    /// Text, however it is written.
    Free,
}

/// An object or array that is open; never more than the lexer's limit of them.
#[derive(Debug, Clone, Copy)]
struct Frame {
    place: Place,
    is_object: bool,
    /// Whose value is at hand.
    key: Key,
    tool: Tool,
}

/// What a tool says of itself.
#[derive(Debug, Clone, Copy, Default)]
struct Tool {
    has_type: bool,
    /// A key that only tools of the agent's own have.
    is_own: bool,
    is_other: bool,
    uses: Option<u64>,
    is_limited: bool,
}

#[derive(Debug, Default)]
struct Reader {
    found: Inputs,
    frames: Vec<Frame>,
    text: KeyText,
    has_keyed_tools: bool,
    has_tool_calls_max: bool,
}

impl Reader {
    /// Takes a value for what its key says. `is_container`: it is no string.
    fn value(&mut self, is_container: bool) {
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        let found = &mut self.found;
        match (frame.place, frame.key) {
            (Place::Free, _) => {}
            (Place::Prompts, _) => found.prompts = found.prompts.saturating_add(1),
            (Place::Tools, _) => found.tools.other |= !is_container,
            (_, Key::More) => found.is_more = true,
            (_, Key::Endless(why)) => self.endless(why),
            (_, Key::ToolCallsMax) => {
                self.has_tool_calls_max = true;
                found.tool_calls_max = None;
            }
            (_, Key::MaxUses) => frame.tool.uses = None,
            (
                _,
                Key::Free
                | Key::Other
                | Key::Type
                | Key::Tools
                | Key::StoredPrompt
                | Key::Management
                | Key::Extra,
            ) => {}
        }
    }

    fn endless(&mut self, why: Endless) {
        self.found.endless.get_or_insert(why);
    }

    /// The value of `type`.
    fn typed(&mut self) {
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        let text = self.text.decoded();
        let text = text.as_deref().unwrap_or_default();
        let found = &mut self.found;
        match frame.place {
            Place::Tool => {
                frame.tool.has_type = true;
                match tool_kind(text) {
                    ToolKind::Own => {}
                    ToolKind::Described => found.is_more = true,
                    ToolKind::WebSearch => found.tools.web_search = true,
                    ToolKind::FileSearch => found.tools.file_search = true,
                    ToolKind::CodeInterpreter => found.tools.code_interpreter = true,
                    ToolKind::PlainSearch => {
                        found.tools.plain_search = true;
                        frame.tool.is_limited = true;
                    }
                    ToolKind::PlainFetch => found.tools.plain_fetch = true,
                    ToolKind::Other => found.tools.other = true,
                }
            }
            Place::Management if text.starts_with(b"compact") => {
                self.endless(Endless::Compaction);
            }
            Place::Content | Place::Extra => match type_of(text) {
                Type::Text => {}
                Type::More => found.is_more = true,
            },
            Place::Body | Place::Tools | Place::Prompts | Place::Management | Place::Free => {}
        }
    }

    fn key(&mut self) {
        let has_keyed_tools = self.has_keyed_tools;
        let text = self.text.decoded();
        let text = text.as_deref();
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        // What is longer than any known key.
        let text = text.unwrap_or(b"");
        frame.key = key(frame.place, text);
        let mut bounds_too = false;
        match frame.place {
            Place::Tool => {
                let is_keyed = words::is_keyed_tool(text);
                frame.tool.is_own |= is_keyed || (!has_keyed_tools && words::is_own_tool(text));
                frame.tool.is_other |= has_keyed_tools && !is_keyed;
            }
            Place::Extra => bounds_too = words::bounds_output(text),
            Place::Body
            | Place::Content
            | Place::Tools
            | Place::Prompts
            | Place::Management
            | Place::Free => {}
        }
        if bounds_too {
            self.endless(Endless::Output);
        }
    }

    /// Where a container stands that begins now.
    fn inner_place(&self, is_object: bool) -> Place {
        let Some(frame) = self.frames.last() else {
            return Place::Body;
        };
        match (frame.place, frame.key) {
            (Place::Free, _) => Place::Free,
            (Place::Tools, _) if is_object => Place::Tool,
            (place, _) if !frame.is_object => place,
            (_, Key::Free) => Place::Free,
            (_, Key::Tools) if is_object => Place::Tool,
            (_, Key::Tools) => Place::Tools,
            (_, Key::Management) => Place::Management,
            (_, Key::StoredPrompt) if !is_object => Place::Prompts,
            (_, Key::Extra) | (Place::Extra, _) => Place::Extra,
            (Place::Management, _) => Place::Management,
            (
                _,
                Key::Other
                | Key::Type
                | Key::More
                | Key::Endless(_)
                | Key::StoredPrompt
                | Key::ToolCallsMax
                | Key::MaxUses,
            ) => Place::Content,
        }
    }

    fn end_tool(&mut self, tool: Tool) {
        let tools = &mut self.found.tools;
        tools.other |= tool.is_other || !(tool.has_type || tool.is_own);
        if tool.is_limited {
            match tool.uses {
                Some(uses) => tools.uses = tools.uses.saturating_add(uses),
                None => tools.uses_are_open = true,
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn scalar(&mut self) {
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        let text = self.text.decoded();
        let text = text.as_deref().unwrap_or_default();
        let number = std::str::from_utf8(text).ok();
        let number = number.and_then(|text| text.parse::<u64>().ok());
        match (frame.place, frame.key) {
            (Place::Free | Place::Prompts, _) => {}
            (_, Key::ToolCallsMax) => {
                // Given twice, it is anybody's guess which one counts.
                let is_first = !std::mem::replace(&mut self.has_tool_calls_max, true);
                self.found.tool_calls_max = number.filter(|_| is_first);
            }
            (_, Key::MaxUses) => {
                let is_first = frame.tool.uses.is_none();
                frame.tool.uses = number.filter(|_| is_first);
            }
            (Place::Tools, _) => self.found.tools.other = true,
            (_, Key::More | Key::Endless(_)) if text != b"null" && text != b"false" => {
                self.value(false);
            }
            (
                _,
                Key::Free
                | Key::Other
                | Key::Type
                | Key::Tools
                | Key::More
                | Key::Endless(_)
                | Key::StoredPrompt
                | Key::Management
                | Key::Extra,
            ) => {}
        }
    }

    /// The text of a value is wanted: a type's, or a number's.
    fn wants(&self) -> bool {
        self.frames.last().is_some_and(|frame| match frame.place {
            Place::Free => false,
            Place::Tools => true,
            Place::Body
            | Place::Content
            | Place::Tool
            | Place::Prompts
            | Place::Management
            | Place::Extra => match frame.key {
                Key::Type | Key::More | Key::Endless(_) | Key::ToolCallsMax | Key::MaxUses => true,
                Key::Free
                | Key::Other
                | Key::Tools
                | Key::StoredPrompt
                | Key::Management
                | Key::Extra => false,
            },
        })
    }

    fn is_type(&self) -> bool {
        let frame = self.frames.last();
        frame.is_some_and(|frame| frame.is_object && frame.key == Key::Type)
    }
}

impl Visitor for Reader {
    fn string_begin(&mut self, _: usize, is_key: bool, _: usize) -> Scan<bool> {
        self.text.clear();
        if is_key {
            let is_free = |frame: &Frame| frame.place == Place::Free;
            return Ok(!self.frames.last().is_some_and(is_free));
        }
        self.value(false);
        Ok(self.is_type())
    }

    fn string_end(&mut self, _: usize, is_key: bool, _: usize) -> Scan<()> {
        if is_key {
            self.key();
        } else if self.is_type() {
            self.typed();
        }
        Ok(())
    }

    fn container_begin(&mut self, _: usize, is_object: bool, _: usize) -> Scan<()> {
        self.value(true);
        let place = self.inner_place(is_object);
        let key = self.frames.last().map(|frame| frame.key);
        if is_object && key == Some(Key::StoredPrompt) {
            self.endless(Endless::StoredPrompt);
        }
        self.frames.push(Frame {
            place,
            is_object,
            key: Key::Other,
            tool: Tool::default(),
        });
        Ok(())
    }

    fn container_end(&mut self, _: usize, _: usize) -> Scan<()> {
        if let Some(frame) = self.frames.pop()
            && frame.place == Place::Tool
        {
            self.end_tool(frame.tool);
        }
        Ok(())
    }

    fn scalar_begin(&mut self, _: usize, _: usize) -> Scan<bool> {
        self.text.clear();
        Ok(self.wants())
    }

    fn scalar_end(&mut self, _: usize, _: usize) -> Scan<()> {
        if self.wants() {
            self.scalar();
        }
        Ok(())
    }

    fn text(&mut self, piece: &[u8]) -> Scan<()> {
        self.text.push(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
