//! The operator's own catalog and prices, by file.

use tokio::process::Command;

use super::*;

const PRICES: &str = include_str!("../../../config/prices.toml");
const CATALOG: &str = include_str!("../../../config/catalog.toml");

#[tokio::test]
async fn files_of_the_operators_replace_the_compiled_in_ones() {
    let files = tempfile::tempdir().unwrap();
    let (catalog, prices) = (files.path().join("c.toml"), files.path().join("p.toml"));
    std::fs::write(
        &catalog,
        CATALOG.replace("\"Mistral API\"", "\"Our Mistral\""),
    )
    .unwrap();
    std::fs::write(
        &prices,
        PRICES.replace("input = \"0.68\"", "input = \"0.7\""),
    )
    .unwrap();
    let section = format!("file = {catalog:?}\nprices = {prices:?}");
    let options = NodeOptions {
        extra: vec![("catalog", section)],
        ..NodeOptions::default()
    };
    let node = Node::start(options).await.unwrap();
    let listed = node
        .cli(&["catalog", "show", "mistral_api", "--output", "json"], "")
        .await
        .unwrap();
    let entry: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(text(&entry, "name"), "Our Mistral");
    let models = entry["models"].as_array().unwrap();
    let model = models.iter().find(|model| model["id"] == "mistral-large-4");
    assert_eq!(model.unwrap()["input_per_1k"], 0.0007);
}

#[tokio::test]
async fn check_names_the_line_of_a_mistake() {
    let files = tempfile::tempdir().unwrap();
    let (config, prices) = (files.path().join("k.toml"), files.path().join("p.toml"));
    std::fs::write(&config, format!("[catalog]\nprices = {prices:?}\n")).unwrap();
    let check = || async {
        Command::new(gateway_tests::node::keyway().unwrap())
            .args(["check", "--config"])
            .arg(&config)
            .output()
            .await
            .unwrap()
    };
    let absent = check().await;
    let message = String::from_utf8_lossy(&absent.stderr).into_owned();
    assert_eq!(absent.status.code(), Some(1));
    assert!(message.contains("catalog.prices: cannot read"), "{message}");

    std::fs::write(
        &prices,
        PRICES.replace("input = \"0.68\"", "input = \"cheap\""),
    )
    .unwrap();
    let wrong = check().await;
    let message = String::from_utf8_lossy(&wrong.stderr).into_owned();
    let line = PRICES
        .lines()
        .position(|line| line.contains("\"0.68\""))
        .unwrap()
        + 1;
    let place = format!(
        "{}:{line}: mistral.\"mistral-large-4\".input: ",
        prices.display()
    );
    assert_eq!(wrong.status.code(), Some(1));
    assert!(message.contains(&place), "{message}");
}
