//! Guardrails, budget rules and limits, by the names that an operator has for things.

use serde_json::Value;

use super::*;

impl Node {
    /// Runs a line without quotes in it.
    async fn line(&self, line: &str) -> Result<String, Failure> {
        self.run(&line.split_whitespace().collect::<Vec<_>>()).await
    }

    async fn json(&self, line: &str) -> Value {
        let text = self.line(&format!("-o json {line}")).await.unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

#[tokio::test]
async fn a_captured_prompt_is_shown() {
    let node = Node::start().await;
    let logged = node.line("logs --output json").await.unwrap();
    let logged: serde_json::Value = serde_json::from_str(&logged).unwrap();
    let id = logged[0]["id"].as_str().unwrap();
    let shown = node.line(&format!("logs show req_{id}")).await.unwrap();
    assert!(
        shown.ends_with("\n--- prompt ---\nOnce upon a time\n"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_policy_under_a_guardrail_with_limits() {
    let node = Node::start().await;
    node.connect().await;
    node.line("providers update openai_api --name Main")
        .await
        .unwrap_err();
    let words = ["providers", "update", "OpenAI API", "--name", "Main"];
    node.run(&words).await.unwrap();
    let none = node.line("guardrails list").await.unwrap();
    assert!(none.contains("keyway guardrails add"), "{none}");
    let made = node
        .line("guardrails add Strict --model gpt-4o* --model claude-* --capture --redact")
        .await
        .unwrap();
    assert!(made.contains("gpt-4o*, claude-*"), "{made}");
    assert!(made.contains("3 500 bytes, redacted"), "{made}");

    let added = node
        .line(
            "policies add Team --group agents --provider main --guardrail strict \
             --allow-path /v1/chat/completions --user-tokens 1M/1d --group-usd 50/30d \
             --user-requests-per-minute 60 --mode hard",
        )
        .await
        .unwrap();
    for shown in [
        "guardrails  Strict\n",
        "paths       /v1/chat/completions\n",
        "tokens      1 000 000 tokens per user every 1d\n",
        "dollars     $50 per group every 30d\n",
        "rates       60 requests/min per user\n",
        "mode        hard\n",
    ] {
        assert!(added.contains(shown), "{shown}: {added}");
    }
    let listed = node.line("policies list").await.unwrap();
    assert!(listed.contains("$50 per group every 30d"), "{listed}");
    let listed = node.line("guardrails list").await.unwrap();
    assert!(listed.lines().nth(1).unwrap().ends_with("Team"), "{listed}");

    // What is not named stays.
    let words = "policies update Team --user-tokens none --any-path --no-guardrails";
    node.line(words).await.unwrap();
    let policy = node.json("policies show Team").await;
    assert_eq!(policy["limits"]["token_limit"]["enabled"], false);
    assert_eq!(policy["limits"]["budget_limit"]["group_cap_usd"], 50);
    assert_eq!(policy["limits"]["mode"], "hard");
    assert_eq!(policy["allowed_paths"].as_array().unwrap().len(), 0);
    assert_eq!(policy["guardrail_ids"].as_array().unwrap().len(), 0);

    node.line("policies update Team --guardrail Strict")
        .await
        .unwrap();
    let used = node.line("guardrails remove Strict").await.unwrap_err();
    assert!(used.message().contains("Team"), "{}", used.message());
    let changed = node
        .line("guardrails update strict --any-model --max-output-tokens 4k --capture=false")
        .await
        .unwrap();
    assert!(changed.contains("models         all\n"), "{changed}");
    assert!(changed.contains("output tokens  4 000\n"), "{changed}");
    assert!(changed.contains("prompts kept   no\n"), "{changed}");
    let missing = node.line("policies update Team --guardrail none").await;
    assert!(
        missing
            .unwrap_err()
            .message()
            .contains("keyway guardrails list")
    );
    node.line("policies delete Team").await.unwrap();
    node.line("guardrails delete Strict").await.unwrap();
}

#[tokio::test]
async fn a_budget_rule_for_whom_peers_know() {
    let node = Node::start().await;
    node.line("peers add laptop --address 100.64.0.7 --user-id u-ada --user-email ada@example.com")
        .await
        .unwrap();
    let empty = node.line("budgets add Monthly").await.unwrap_err();
    assert_eq!(empty.exit_code(), 64);
    let made = node
        .line("budgets add Monthly --user ada@example.com --user-usd 12.50/30d")
        .await
        .unwrap();
    assert!(made.contains("users ada@example.com\n"), "{made}");
    assert!(made.contains("$12.50 per user every 30d\n"), "{made}");
    let rule = node.json("budgets show monthly").await;
    assert_eq!(rule["target_users"][0], "u-ada");

    let everyone = node
        .line("budgets update Monthly --everyone --group-tokens 2M/1h --enabled false")
        .await
        .unwrap();
    assert!(everyone.contains("everyone\n"), "{everyone}");
    assert!(everyone.contains("2 000 000 tokens per group every 1h"));
    let refused = node.line("budgets update Monthly --user-usd 5000000");
    let refused = refused.await.unwrap_err();
    assert!(
        refused
            .message()
            .starts_with("limits.budget_limit.user_cap_usd: must be at most 4000000"),
        "{}",
        refused.message()
    );

    let file = node.file("export.jsonl");
    node.run(&["store", "export", file.to_str().unwrap()])
        .await
        .unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"budgets/ainbud_"), "{text}");
    node.line("budget-rules remove Monthly").await.unwrap();
    let none = node.line("budgets list").await.unwrap();
    assert!(none.contains("keyway budgets add"), "{none}");
}

#[tokio::test]
async fn a_provider_takes_so_much() {
    let node = Node::start().await;
    node.connect().await;
    let limit = |rate: &'static str| {
        let words = ["providers", "update", "OpenAI API", "--requests-per-minute"];
        words.into_iter().chain([rate]).collect::<Vec<_>>()
    };
    let limited = node.run(&limit("1k")).await.unwrap();
    assert!(limited.contains("1 000 requests/min\n"), "{limited}");
    let lifted = node.run(&limit("none")).await.unwrap();
    assert!(!lifted.contains("requests/min"), "{lifted}");
}

#[tokio::test]
async fn what_would_become_of_a_request() {
    let node = Node::start().await;
    node.connect().await;
    node.line("peers add laptop --address 100.64.0.7 --group agents --user-id u-ada --user-email ada@example.com")
        .await
        .unwrap();
    let words = [
        "policies",
        "add",
        "Team",
        "--group",
        "agents",
        "--provider",
        "OpenAI API",
    ];
    let limits = ["--user-tokens", "2k/1d", "--group-usd", "5/1h"];
    node.run(&[&words[..], &limits].concat()).await.unwrap();
    node.line("budgets add Everyone --group-tokens 1M/30d")
        .await
        .unwrap();

    let ask = "policies explain --peer laptop --model gpt-4o-mini --body-bytes 3000";
    let told = node.line(&format!("{ask} --max-tokens 500")).await.unwrap();
    for shown in [
        "answer    allowed\n",
        "peer      laptop, of ada@example.com\n",
        "size      3 000 bytes, at most 500 output tokens\n",
        "provider  OpenAI API\n",
        "paid by   Team, counted for group agents\n",
        "* OpenAI API  asked  lists the model\n",
        "* Team  pays   pays\n",
        "budget rule Everyone  tokens per 30d",
        "policy                tokens per 1d",
        "dollars per 1h",
    ] {
        assert!(told.contains(shown), "{shown}: {told}");
    }
    // The usual output is more than the user has.
    let told = node.line(ask).await.unwrap();
    for shown in [
        "answer    denied: 429 llm_policy.token_cap_exceeded\n",
        "Team  no room  its limit has no room (tokens)\n",
        "no: 429 llm_policy.token_cap_exceeded\n",
    ] {
        assert!(told.contains(shown), "{shown}: {told}");
    }
    let answer = node.json(ask).await;
    assert_eq!(answer["denial"]["status"], 429);

    let shown = node.line("policies show Team").await.unwrap();
    assert!(shown.contains("group agents  dollars per 1h"), "{shown}");
    assert!(shown.contains("[----------]   0%"), "{shown}");
    let shown = node.json("budgets show Everyone").await;
    assert_eq!(shown["used"][0]["caps"][0]["name"], "Everyone");
    let listed = node.line("budgets list").await.unwrap();
    assert!(
        listed.lines().nth(1).unwrap().contains("  0%  "),
        "{listed}"
    );
}
