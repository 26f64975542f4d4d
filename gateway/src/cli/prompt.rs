//! Questions to whoever sits at the terminal. Everything that is asked can be given as an argument, so
//! without a terminal nothing is ever asked.

use std::io::{self, IsTerminal};

use inquire::{
    Confirm, InquireError, MultiSelect, Password, PasswordDisplayMode, Select, Text,
    ui::{Attributes, Color, RenderConfig, StyleSheet, Styled},
};
use zeroize::Zeroizing;

use super::Failure;

/// Answers to questions; tests bring their own.
pub(super) trait Ask {
    /// The index of one option.
    fn choose(&mut self, question: &str, help: &str, options: &[String]) -> Result<usize, Failure>;

    /// The indexes of any number of options.
    fn pick(&mut self, question: &str, options: &[String]) -> Result<Vec<usize>, Failure>;

    /// Text; `default` is what an empty answer means.
    fn text(&mut self, question: &str, help: &str, default: &str) -> Result<String, Failure>;

    /// Text that nobody sees.
    fn secret(&mut self, question: &str, help: &str) -> Result<Zeroizing<String>, Failure>;

    fn confirm(&mut self, question: &str, default: bool) -> Result<bool, Failure>;

    /// A line between the questions.
    fn say(&mut self, line: &str);
}

/// Options that are shown at a time.
const PAGE_SIZE: usize = 15;

/// The terminal, on standard input and error output.
pub(super) struct Terminal(RenderConfig<'static>);

impl Terminal {
    /// `None` unless both ends are a terminal.
    pub(super) fn open() -> Option<Self> {
        let is_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        is_terminal.then(|| Self(render()))
    }
}

fn render() -> RenderConfig<'static> {
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return RenderConfig::empty();
    }
    let quiet = StyleSheet::new().with_fg(Color::DarkGrey);
    RenderConfig::default()
        .with_prompt_prefix(Styled::new("?").with_fg(Color::LightCyan))
        .with_answered_prompt_prefix(Styled::new("✓").with_fg(Color::LightGreen))
        .with_answer(StyleSheet::new().with_attr(Attributes::BOLD))
        .with_help_message(quiet)
}

impl Ask for Terminal {
    fn choose(&mut self, question: &str, help: &str, options: &[String]) -> Result<usize, Failure> {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let select = Select::new(question, options)
            .with_page_size(PAGE_SIZE)
            .with_formatter(&|option| option.value.trim_end().to_owned())
            .with_render_config(self.0);
        let select = if help.is_empty() {
            select.without_help_message()
        } else {
            select.with_help_message(help)
        };
        Ok(select.raw_prompt()?.index)
    }

    fn pick(&mut self, question: &str, options: &[String]) -> Result<Vec<usize>, Failure> {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let picked = MultiSelect::new(question, options)
            .with_page_size(PAGE_SIZE)
            .with_keep_filter(false)
            .with_help_message("space picks, → all, ← none, type to filter, enter ends")
            .with_formatter(&|picked| format!("{} of them", picked.len()))
            .with_render_config(self.0)
            .raw_prompt()?;
        Ok(picked.into_iter().map(|option| option.index).collect())
    }

    fn text(&mut self, question: &str, help: &str, default: &str) -> Result<String, Failure> {
        let mut text = Text::new(question).with_render_config(self.0);
        if !help.is_empty() {
            text = text.with_help_message(help);
        }
        if !default.is_empty() {
            text = text.with_default(default);
        }
        Ok(text.prompt()?.trim().to_owned())
    }

    fn secret(&mut self, question: &str, help: &str) -> Result<Zeroizing<String>, Failure> {
        let mut password = Password::new(question)
            .without_confirmation()
            .with_display_mode(PasswordDisplayMode::Masked)
            .with_formatter(&|_| "(hidden)".to_owned())
            .with_render_config(self.0);
        if !help.is_empty() {
            password = password.with_help_message(help);
        }
        Ok(Zeroizing::new(password.prompt()?))
    }

    fn confirm(&mut self, question: &str, default: bool) -> Result<bool, Failure> {
        let confirm = Confirm::new(question).with_default(default);
        Ok(confirm.with_render_config(self.0).prompt()?)
    }

    fn say(&mut self, line: &str) {
        super::output::aside(line);
    }
}

impl From<InquireError> for Failure {
    fn from(error: InquireError) -> Self {
        match error {
            InquireError::OperationCanceled | InquireError::OperationInterrupted => {
                Self::Failed("stopped; nothing was saved".to_owned())
            }
            InquireError::IO(error) => error.into(),
            InquireError::NotTTY
            | InquireError::InvalidConfiguration(_)
            | InquireError::Custom(_) => Self::Failed(error.to_string()),
        }
    }
}

/// Answers that were written down before the questions came.
#[cfg(test)]
pub(super) mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// What is asked has to fit the next answer; an option is chosen by a part of it.
    pub(in crate::cli) struct Script {
        answers: VecDeque<(&'static str, &'static str)>,
        pub(in crate::cli) said: Vec<String>,
    }

    impl Script {
        /// Pairs of a part of the question and the answer.
        pub(in crate::cli) fn new(answers: &[(&'static str, &'static str)]) -> Self {
            Self {
                answers: answers.iter().copied().collect(),
                said: Vec::new(),
            }
        }

        pub(in crate::cli) fn is_over(&self) -> bool {
            self.answers.is_empty()
        }

        #[track_caller]
        fn answer(&mut self, question: &str) -> &'static str {
            match self.answers.pop_front() {
                Some((part, answer)) if question.contains(part) => answer,
                next => panic!("{question:?} was asked, not {next:?}"),
            }
        }
    }

    impl Ask for Script {
        fn choose(
            &mut self,
            question: &str,
            _: &str,
            options: &[String],
        ) -> Result<usize, Failure> {
            let answer = self.answer(question);
            let found = options.iter().position(|option| option.contains(answer));
            Ok(found.unwrap_or_else(|| panic!("{answer:?} is not in {options:#?}")))
        }

        fn pick(&mut self, question: &str, options: &[String]) -> Result<Vec<usize>, Failure> {
            let answer = self.answer(question);
            let wanted = |option: &String| answer.split(' ').any(|part| option.contains(part));
            Ok((0..options.len())
                .filter(|at| wanted(&options[*at]))
                .collect())
        }

        fn text(&mut self, question: &str, _: &str, default: &str) -> Result<String, Failure> {
            Ok(match self.answer(question) {
                "" => default.to_owned(),
                answer => answer.to_owned(),
            })
        }

        fn secret(&mut self, question: &str, _: &str) -> Result<Zeroizing<String>, Failure> {
            Ok(Zeroizing::new(self.answer(question).to_owned()))
        }

        fn confirm(&mut self, question: &str, default: bool) -> Result<bool, Failure> {
            Ok(match self.answer(question) {
                "" => default,
                answer => answer == "yes",
            })
        }

        fn say(&mut self, line: &str) {
            self.said.push(line.to_owned());
        }
    }
}
