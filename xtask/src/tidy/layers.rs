//! Which part of the gateway may name which: the two planes meet in `handoff` only.

/// Words that code, tests aside, under a path must not name, and the files that may.
struct Arrow {
    under: &'static str,
    not: &'static [&'static str],
    except: &'static [&'static str],
}

/// `h2` wants tokio's I/O traits, so its adapter names them.
const ARROWS: &[Arrow] = &[
    Arrow {
        under: "gateway/src/data_plane",
        not: &["tokio"],
        except: &["gateway/src/data_plane/transport.rs"],
    },
    Arrow {
        under: "gateway/src/data_plane",
        not: &["control_plane", "rusqlite", "sled", "axum"],
        except: &[],
    },
    Arrow {
        under: "gateway/src/control_plane",
        not: &["monoio", "data_plane"],
        except: &[],
    },
    Arrow {
        under: "gateway/src/handoff",
        not: &["monoio", "tokio", "data_plane", "control_plane"],
        except: &[],
    },
    Arrow {
        under: "gateway/src/policy",
        not: &["monoio", "tokio", "data_plane", "control_plane"],
        except: &[],
    },
    Arrow {
        under: "gateway/src/dialect",
        not: &["monoio", "tokio", "data_plane", "control_plane"],
        except: &[],
    },
];

pub(super) fn check(path: &str, text: &str, problems: &mut Vec<String>) {
    for arrow in ARROWS {
        let applies = path
            .strip_prefix(arrow.under)
            .is_some_and(|rest| rest.starts_with('/') || rest == ".rs");
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        if !applies || is_test || arrow.except.iter().any(|file| path.starts_with(file)) {
            continue;
        }
        // Tests come last in a file and may set a scene with anything.
        let code = (1..).zip(text.lines());
        for (number, line) in code.take_while(|(_, line)| !line.starts_with("#[cfg(test)]")) {
            let code = line.split("//").next().unwrap_or_default();
            for word in arrow.not {
                if names(code, word) {
                    problems.push(format!("{path}:{number}: {} names {word}", arrow.under));
                }
            }
        }
    }
}

/// Does a path in `code` begin with or go through `word`? A string or a longer identifier does not.
fn names(code: &str, word: &str) -> bool {
    let is_identifier = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + word.len()..];
        let starts = before.is_none_or(|c| !is_identifier(c) && c != '"' && c != '.');
        starts
            && (after.starts_with("::")
                || code.trim_start().starts_with("use ") && after.starts_with([';', ',', '}']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_do_not_name_each_other() {
        let data = "gateway/src/data_plane/route.rs";
        let control = "gateway/src/control_plane/api.rs";
        for (path, line, expected) in [
            (data, "use tokio::io::AsyncRead;", 1),
            (data, "// tokio::io is for the other plane", 0),
            (data, "let tokio_like = 1;", 0),
            (data, "use crate::control_plane::store;", 1),
            (data, "use crate::{control_plane, handoff};", 1),
            (
                "gateway/src/data_plane/transport.rs",
                "use tokio::io::AsyncRead;",
                0,
            ),
            (data, "#[cfg(test)]\nuse crate::control_plane::x;", 0),
            (
                "gateway/src/data_plane/tests/h2c.rs",
                "use tokio::net::TcpStream;",
                0,
            ),
            ("gateway/src/data_plane/contests.rs", "tokio::spawn(x);", 1),
            (
                "gateway/src/data_plane.rs",
                "use crate::control_plane::x;",
                1,
            ),
            (control, "use tokio::net::TcpListener;", 0),
            (control, "monoio::spawn(x);", 1),
            (
                "gateway/src/app.rs",
                "use crate::{control_plane, data_plane};",
                0,
            ),
        ] {
            let mut problems = Vec::new();
            check(path, line, &mut problems);
            assert_eq!(problems.len(), expected, "{path}: {line}");
        }
    }
}
