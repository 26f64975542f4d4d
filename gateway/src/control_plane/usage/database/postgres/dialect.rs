//! What PostgreSQL says differently: from our own text in SQLite's words to its words. Only the words that
//! are in use are known.

use std::fmt::Write as _;

/// For queries. Text in quotes is ours too and has none of these words.
const QUERY_WORDS: [(&str, &str); 6] = [
    // Both ignore the case of ASCII letters, where the collation is "C".
    (" LIKE ", " ILIKE "),
    (" NOT INDEXED", ""),
    (" INDEXED BY access_log_session", ""),
    (
        "json_group_array(DISTINCT group_set)",
        "CAST(json_agg(DISTINCT group_set) AS TEXT)",
    ),
    (
        "json_group_array(DISTINCT dialect)",
        "CAST(json_agg(DISTINCT dialect) AS TEXT)",
    ),
    (
        "json_group_array(DISTINCT model)",
        "CAST(json_agg(DISTINCT model) AS TEXT)",
    ),
];

/// For tables. Numbers of SQLite's have 64 bits, and its texts are compared byte by byte.
/// An index entry has at most 2.7 KB, which sets of groups may not fit into; those of hash indexes do.
const TABLE_WORDS: [(&str, &str); 7] = [
    (
        "group_ids TEXT NOT NULL UNIQUE",
        "group_ids TEXT NOT NULL, EXCLUDE USING hash (group_ids WITH =)",
    ),
    (
        "INTEGER PRIMARY KEY AUTOINCREMENT",
        "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    ),
    (
        "INTEGER PRIMARY KEY",
        "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    ),
    (" INTEGER", " BIGINT"),
    (" TEXT", " TEXT COLLATE \"C\""),
    (" BLOB", " BYTEA"),
    (") WITHOUT ROWID", ")"),
];

pub(super) fn tables(sql: &str) -> String {
    replaced(sql, &TABLE_WORDS)
}

pub(super) fn query(sql: &str) -> String {
    numbered(&replaced(sql, &QUERY_WORDS))
}

fn replaced(sql: &str, words: &[(&str, &str)]) -> String {
    words
        .iter()
        .fold(sql.to_owned(), |sql, (from, to)| sql.replace(from, to))
}

/// `?` is the next parameter, `?2` the second one.
fn numbered(sql: &str) -> String {
    let mut numbered = String::with_capacity(sql.len() + 16);
    let mut last = 0;
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('?') {
        numbered.push_str(before);
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        last = after[..digits].parse().unwrap_or(last + 1);
        write!(numbered, "${last}").expect("writing to a String cannot fail");
        rest = &after[digits..];
    }
    numbered.push_str(rest);
    numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_translated() {
        for (sql, expected) in [
            ("a = ? AND b IN (?, ?)", "a = $1 AND b IN ($2, $3)"),
            ("VALUES (?1, ?2, ?10)", "VALUES ($1, $2, $10)"),
            ("id LIKE ? ESCAPE '\\'", "id ILIKE $1 ESCAPE '\\'"),
            (
                "FROM access_log NOT INDEXED WHERE TRUE",
                "FROM access_log WHERE TRUE",
            ),
        ] {
            assert_eq!(query(sql), expected);
        }
    }

    #[test]
    fn tables_are_translated() {
        for (sql, expected) in [
            (
                "x INTEGER PRIMARY KEY AUTOINCREMENT, y INTEGER NOT NULL, z BLOB",
                "x BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, y BIGINT NOT NULL, z BYTEA",
            ),
            (
                "(a TEXT PRIMARY KEY, b TEXT NOT NULL) WITHOUT ROWID;",
                "(a TEXT COLLATE \"C\" PRIMARY KEY, b TEXT COLLATE \"C\" NOT NULL);",
            ),
        ] {
            assert_eq!(tables(sql), expected);
        }
    }
}
