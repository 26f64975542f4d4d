//! Which providers learn of traces.

use super::*;

#[test]
fn providers_are_meant_by_name_or_id_or_all() {
    let documents = documents();
    for (traced, learns) in [
        (&[][..], false),
        (&["ONE"], true),
        (&["other", "one"], true),
        (&["*"], true),
        (&["on", "On*"], false),
    ] {
        let traced: Vec<String> = traced.iter().map(|name| (*name).to_owned()).collect();
        let answers = answers(&["203.0.113.1"]);
        let surroundings = Surroundings {
            traced: &traced,
            ..surroundings(&answers, &IDENTITY)
        };
        let compiled = Compiler::default().compile(&documents, &Ledger::default(), surroundings);
        let provider = &compiled.snapshot.providers[0];
        assert_eq!(provider.learns_trace, learns, "{traced:?}");
    }
}
