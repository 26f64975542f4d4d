//! Generated labels for endpoints: `adjective-noun`, easy to say and to type.

use super::id;

/// A random label.
pub(super) fn adjective_noun() -> String {
    format!("{}-{}", pick(&ADJECTIVES), pick(&NOUNS))
}

fn pick(words: &[&'static str]) -> &'static str {
    let mut bytes = [0; 8];
    id::fill_random(&mut bytes);
    // The remainder's bias is far below what a name cares about.
    words[(u64::from_le_bytes(bytes) % words.len() as u64) as usize]
}

#[rustfmt::skip]
const ADJECTIVES: [&str; 90] = [
    "able", "agile", "amber", "ample", "azure", "balmy", "bold", "brave", "breezy", "bright",
    "brisk", "broad", "calm", "candid", "clear", "clever", "cosy", "crisp", "curious", "deft",
    "eager", "early", "easy", "fair", "fleet", "fond", "frank", "fresh", "gentle", "glad", "golden",
    "grand", "green", "happy", "hardy", "honest", "humble", "ivory", "jolly", "keen", "kind",
    "lively", "loyal", "lucid", "lucky", "mellow", "merry", "mild", "modest", "neat", "nimble",
    "noble", "patient", "placid", "plain", "plucky", "proud", "quick", "quiet", "rapid", "ready",
    "robust", "rosy", "round", "sandy", "serene", "sharp", "shiny", "silver", "sleek", "smart",
    "snug", "soft", "solar", "solid", "spry", "steady", "still", "sunny", "swift", "tidy",
    "tranquil", "trusty", "upbeat", "vivid", "warm", "wise", "witty", "young", "zesty",
];

#[rustfmt::skip]
const NOUNS: [&str; 153] = [
    "acorn", "alder", "anchor", "antler", "apple", "arbor", "aspen", "atlas", "badger", "bamboo",
    "basin", "bay", "beacon", "beaver", "birch", "bison", "bluff", "breeze", "bridge", "brook",
    "canyon", "cedar", "cliff", "clover", "comet", "copper", "coral", "cove", "crane", "creek",
    "cricket", "crocus", "delta", "dolphin", "dove", "dune", "eagle", "ember", "falcon", "fern",
    "ferry", "finch", "fjord", "flint", "forest", "fox", "garnet", "gecko", "glacier", "glade",
    "grove", "gull", "harbor", "hare", "harvest", "hawk", "hazel", "heath", "heron", "hill",
    "island", "ivy", "jasper", "jay", "juniper", "kestrel", "kite", "koala", "lagoon", "lake",
    "lantern", "larch", "lark", "lemur", "lily", "linden", "lotus", "lynx", "magpie", "maple",
    "marble", "marlin", "marten", "meadow", "meteor", "mill", "mint", "moss", "moth", "mountain",
    "oak", "oasis", "ocean", "olive", "orchard", "orchid", "osprey", "otter", "owl", "panda",
    "pebble", "pelican", "pepper", "petrel", "pine", "planet", "plover", "plum", "pond", "poplar",
    "poppy", "prairie", "puffin", "quail", "quartz", "quill", "rabbit", "raven", "reef", "ridge",
    "river", "robin", "rowan", "sable", "saffron", "sage", "salmon", "sapphire", "sparrow",
    "spruce", "squirrel", "starling", "stone", "stork", "summit", "swallow", "swan", "teal",
    "thicket", "thistle", "thrush", "tiger", "tulip", "tundra", "turtle", "valley", "violet",
    "walnut", "warbler", "willow", "wren", "zebra", "zephyr",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_a_host_name_label() {
        for word in ADJECTIVES.iter().chain(&NOUNS) {
            assert!(word.bytes().all(|b| b.is_ascii_lowercase()), "{word}");
        }
        let label = adjective_noun();
        assert_eq!(label.split('-').count(), 2, "{label}");
    }
}
