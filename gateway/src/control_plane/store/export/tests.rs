#![allow(clippy::unwrap_used)]

use super::*;
use crate::control_plane::store::{
    SledStore,
    conformance::{committed, put},
};

fn open() -> (tempfile::TempDir, SledStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path(), 0).unwrap().store;
    (directory, store)
}

async fn contents(store: &dyn Store) -> Vec<(String, Vec<u8>)> {
    let entries = store.range("").await.unwrap().entries;
    entries
        .into_iter()
        .map(|entry| (entry.key, entry.value))
        .collect()
}

#[tokio::test]
async fn everything_comes_back() {
    let (_directory, store) = open();
    let values: [&[u8]; 5] = [
        b"{\"a\":\"\\u0000\"}",
        b"",
        b"\0\xff",
        "line\nbreak ü".as_bytes(),
        b"\"\\",
    ];
    let mut operations = Vec::new();
    for number in 0..OPERATIONS_MAX {
        operations.push(Operation::Put {
            key: format!("k/{number:03}\""),
            value: values[number % values.len()].to_vec(),
        });
    }
    committed(&store, Vec::new(), operations).await;
    put(&store, "one more than a transaction holds", "x").await;
    let mut bytes = Vec::new();
    let exported = export(&store, "", &mut bytes).await.unwrap();
    assert_eq!(
        (exported.revision, exported.entries),
        (2, OPERATIONS_MAX + 1)
    );

    let (_directory, empty) = open();
    let imported = import(&empty, &bytes[..], ImportMode::IntoEmpty)
        .await
        .unwrap();
    assert_eq!(imported.entries, OPERATIONS_MAX + 1);
    assert_eq!(contents(&empty).await, contents(&store).await);
}

#[tokio::test]
async fn a_filled_store_is_not_written_over_unasked() {
    let (_directory, store) = open();
    put(&store, "a", "1").await;
    let mut bytes = Vec::new();
    export(&store, "", &mut bytes).await.unwrap();
    put(&store, "a", "2").await;
    put(&store, "b", "stays").await;
    let refused = import(&store, &bytes[..], ImportMode::IntoEmpty).await;
    assert!(matches!(refused, Err(ExportError::NotEmpty { keys: 2 })));
    import(&store, &bytes[..], ImportMode::Merge).await.unwrap();
    let expected = [
        ("a".to_owned(), b"1".to_vec()),
        ("b".to_owned(), b"stays".to_vec()),
    ];
    assert_eq!(contents(&store).await, expected);
}

#[tokio::test]
async fn a_prefix_only() {
    let (_directory, store) = open();
    put(&store, "a/1", "").await;
    put(&store, "b/1", "").await;
    let mut bytes = Vec::new();
    assert_eq!(export(&store, "a/", &mut bytes).await.unwrap().entries, 1);
    assert_eq!(Export::read(&bytes[..]).unwrap().entries[0].0, "a/1");
}

#[tokio::test]
async fn a_changed_file_is_refused() {
    let (_directory, store) = open();
    put(&store, "key", "value").await;
    put(&store, "other", "value").await;
    let mut bytes = Vec::new();
    export(&store, "", &mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 4);
    let cases = [
        (text.replacen("value", "velue", 1), "checksum"),
        (lines[0].to_owned() + lines[2] + lines[3], "checksum"),
        (lines[..3].concat(), "incomplete"),
        (text[..text.len() - 10].to_owned(), "line 4"),
        (String::new(), "incomplete"),
        (lines[1..].concat(), "header is missing"),
        (lines[0].to_owned() + &text, "second header"),
        (
            text.replacen("\"keyway_store\":1", "\"keyway_store\":2", 1),
            "another version",
        ),
        ("ELF\n".to_owned(), "line 1"),
    ];
    for (changed, expected) in cases {
        let error = Export::read(changed.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} for {changed}");
    }
    for cut in 0..text.len() - 1 {
        assert!(
            Export::read(&text.as_bytes()[..cut]).is_err(),
            "cut at {cut}"
        );
    }
}
