//! A set-up: what goes into the environment, into files, into code. As text for people, with the reasons
//! as comments; as JSON for programs.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::Place;

/// Blocks in the order in which they are done.
#[derive(Debug, Default)]
pub struct Setup {
    blocks: Vec<Block>,
}

/// A block as people take it elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The path of a file, or what the text is.
    pub title: String,
    /// Why, and what to mind.
    pub note: String,
    pub text: String,
}

#[derive(Debug)]
struct Block {
    kind: Kind,
    /// Why, and what to mind; lines without comment signs.
    note: String,
}

#[derive(Debug)]
enum Kind {
    Environment(Vec<(&'static str, String)>),
    File { path: &'static str, content: String },
    Code { language: Language, content: String },
}

/// What a block of code is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Shell,
    Python,
    JavaScript,
}

impl Language {
    fn name(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Python => "python",
            Self::JavaScript => "javascript",
        }
    }

    fn comment(self) -> &'static str {
        match self {
            Self::Shell | Self::Python => "#",
            Self::JavaScript => "//",
        }
    }
}

impl Setup {
    /// Variables; none adds nothing.
    pub(super) fn environment(
        mut self,
        note: &str,
        variables: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        let variables: Vec<_> = variables.into_iter().collect();
        if !variables.is_empty() {
            self.add(note, Kind::Environment(variables));
        }
        self
    }

    pub(super) fn file(mut self, path: &'static str, note: &str, content: String) -> Self {
        self.add(note, Kind::File { path, content });
        self
    }

    pub(super) fn code(mut self, language: Language, note: &str, content: String) -> Self {
        self.add(note, Kind::Code { language, content });
        self
    }

    fn add(&mut self, note: &str, kind: Kind) {
        let note = note.to_owned();
        self.blocks.push(Block { kind, note });
    }

    /// As text for people, with the reasons as comments.
    pub fn text(&self, place: &Place) -> String {
        let mut text = String::new();
        if let Some(file) = &place.ca_file {
            let _ = write!(
                text,
                "# On the agent's machine, {file} must hold the endpoint's CA:\n\
                 #   keyway ca export > keyway-ca.pem   (on the node; then copy it)\n\n"
            );
        }
        for (i, block) in self.blocks.iter().enumerate() {
            if i > 0 {
                text.push('\n');
            }
            block.write(&mut text);
        }
        text
    }

    /// Block by block.
    pub fn shown(&self) -> impl Iterator<Item = Shown> {
        self.blocks.iter().map(Block::shown)
    }

    /// For programs.
    pub fn json(&self, tool: &str, via: &str, place: &Place) -> Value {
        let blocks: Vec<Value> = self.blocks.iter().map(Block::json).collect();
        json!({
            "tool": tool,
            "via": via,
            "endpoint": place.url,
            "ca_file": place.ca_file,
            "model": place.model,
            "blocks": blocks,
        })
    }
}

impl Block {
    fn write(&self, text: &mut String) {
        let comment = match &self.kind {
            Kind::Environment(_) | Kind::File { .. } => "#",
            Kind::Code { language, .. } => language.comment(),
        };
        if let Kind::File { path, .. } = &self.kind {
            let _ = writeln!(text, "# {path}");
        }
        for line in self.note.lines() {
            let _ = writeln!(text, "{comment} {line}");
        }
        self.write_content(text);
    }

    fn write_content(&self, text: &mut String) {
        match &self.kind {
            Kind::Environment(variables) => {
                for (name, value) in variables {
                    let _ = writeln!(text, "export {name}={value}");
                }
            }
            Kind::File { content, .. } | Kind::Code { content, .. } => {
                let _ = writeln!(text, "{}", content.trim_end());
            }
        }
    }

    fn shown(&self) -> Shown {
        let mut text = String::new();
        self.write_content(&mut text);
        let title = match &self.kind {
            Kind::Environment(_) => "environment",
            Kind::File { path, .. } => path,
            Kind::Code { language, .. } => language.name(),
        };
        Shown {
            title: title.to_owned(),
            note: self.note.clone(),
            text,
        }
    }

    fn json(&self) -> Value {
        let mut block = match &self.kind {
            Kind::Environment(variables) => {
                let variables = variables
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), json!(value)));
                json!({"kind": "environment", "variables": variables.collect::<Map<_, _>>()})
            }
            Kind::File { path, content } => {
                json!({"kind": "file", "path": path, "content": content})
            }
            Kind::Code { language, content } => {
                json!({"kind": "code", "language": language.name(), "content": content})
            }
        };
        block["note"] = json!(self.note);
        block
    }
}
