use super::*;
use crate::handoff::{
    record::{MediaUsage, ToolCalls},
    snapshot::ToolPrices,
};

fn usd(dollars_per_million: f64) -> NanoUsdPerMillion {
    NanoUsdPerMillion((dollars_per_million * 1e9).round() as u64)
}

fn plain(input: f64, output: f64) -> Rates {
    Rates {
        input: usd(input),
        output: usd(output),
        ..Rates::default()
    }
}

fn price(rates: Rates) -> Price {
    Price {
        standard: TierPrice {
            rates,
            long_context: None,
        },
        long_context_above: u64::MAX,
        ..Price::default()
    }
}

fn sonnet() -> Rates {
    Rates {
        cache_read: Some(usd(0.3)),
        cache_write: Some(usd(3.75)),
        cache_write_long: Some(usd(6.0)),
        ..plain(3.0, 15.0)
    }
}

fn cost(usage: &Usage, price: &Price) -> CostNanoUsd {
    let bill = bill(usage, Terms::default(), price);
    assert!(bill.left_out.is_empty(), "{:?}", bill.left_out);
    bill.cost
}

#[test]
fn every_component_has_its_rate() {
    let usage = Usage {
        input_tokens: 10_000,
        output_tokens: 1_000,
        cache_read_input_tokens: 6_000,
        cache_creation_input_tokens: 1_000,
        cache_creation_long_input_tokens: 2_000,
        reasoning_tokens: 400,
        ..Usage::default()
    };
    let cost = cost(&usage, &price(sonnet()));
    assert_eq!(
        cost,
        CostNanoUsd {
            input: 3_000_000,           // 1,000 × $3
            cache_read: 1_800_000,      // 6,000 × $0.30
            cache_creation: 15_750_000, // 1,000 × $3.75 + 2,000 × $6
            output: 15_000_000,         // 1,000 × $15
            other: 0,
        }
    );
    assert_eq!(cost.total(), 35_550_000);
}

#[test]
fn missing_cache_rates_fall_back() {
    let usage = Usage {
        input_tokens: 3_000,
        cache_read_input_tokens: 1_000,
        cache_creation_input_tokens: 1_000,
        cache_creation_long_input_tokens: 1_000,
        ..Usage::default()
    };
    let rates = plain(2.0, 10.0);
    let without = cost(&usage, &price(rates));
    assert_eq!(
        (without.input, without.cache_read, without.cache_creation),
        (0, 2_000_000, 4_000_000)
    );
    let rates = Rates {
        cache_write: Some(usd(2.5)),
        ..rates
    };
    assert_eq!(cost(&usage, &price(rates)).cache_creation, 5_000_000);
}

#[test]
fn the_long_context_tier_goes_by_all_input_and_takes_the_whole_request() {
    let price = Price {
        standard: TierPrice {
            rates: Rates {
                cache_read: Some(usd(0.5)),
                ..plain(5.0, 30.0)
            },
            long_context: Some(Box::new(plain(10.0, 45.0))),
        },
        long_context_above: 272_000,
        ..Price::default()
    };
    let mut usage = Usage {
        input_tokens: 272_000,
        output_tokens: 100,
        cache_read_input_tokens: 271_000,
        ..Usage::default()
    };
    let below = cost(&usage, &price);
    assert_eq!(
        (below.input, below.cache_read, below.output),
        (5_000_000, 135_500_000, 3_000_000)
    );
    usage.input_tokens = 272_001;
    let above = cost(&usage, &price);
    assert_eq!(
        (above.input, above.cache_read, above.output),
        (10_010_000, 2_710_000_000, 4_500_000)
    );
}

#[test]
fn a_tier_has_its_own_rates_and_a_missing_one_is_named() {
    let tier = |tier, input, long: Option<f64>| {
        let long_context = long.map(|input| Box::new(plain(input, 0.0)));
        let rates = plain(input, 0.0);
        (
            tier,
            TierPrice {
                rates,
                long_context,
            },
        )
    };
    let mut price = Price {
        tiers: Box::new([
            tier(ServiceTier::Flex, 1.0, Some(2.0)),
            tier(ServiceTier::Priority, 4.0, None),
        ]),
        long_context_above: 1_000,
        ..price(plain(2.0, 0.0))
    };
    price.standard.long_context = Some(Box::new(plain(3.0, 0.0)));
    let table = [
        (ServiceTier::Standard, 1_000, 2_000_000, ""),
        (ServiceTier::Flex, 1_000, 1_000_000, ""),
        (ServiceTier::Flex, 2_000, 4_000_000, ""),
        (ServiceTier::Priority, 1_000, 4_000_000, ""),
        (ServiceTier::Priority, 2_000, 6_000_000, "service_tier"),
        (ServiceTier::Batch, 1_000, 2_000_000, "service_tier"),
        (ServiceTier::Other, 2_000, 6_000_000, "service_tier"),
    ];
    for (tier, input_tokens, expected, left_out) in table {
        let usage = Usage {
            input_tokens,
            ..Usage::default()
        };
        let terms = Terms {
            tier,
            regional: false,
        };
        let bill = bill(&usage, terms, &price);
        assert_eq!(bill.cost.input, expected, "{tier:?} {input_tokens}");
        assert_eq!(bill.left_out.codes().collect::<String>(), left_out);
    }
    price.standard.long_context = None;
    let usage = Usage {
        input_tokens: 2_000,
        ..Usage::default()
    };
    let terms = Terms {
        tier: ServiceTier::Priority,
        regional: false,
    };
    assert_eq!(bill(&usage, terms, &price).cost.input, 8_000_000);
}

#[test]
fn a_region_raises_every_token_and_no_call() {
    let usage = Usage {
        input_tokens: 1_005,
        output_tokens: 1_000,
        tool_calls: ToolCalls {
            web_search: 2,
            ..ToolCalls::default()
        },
        ..Usage::default()
    };
    let terms = Terms {
        regional: true,
        ..Terms::default()
    };
    let mut price = price(plain(0.001, 2.0));
    price.tools.web_search = Some(ToolPrice::PerCall(NanoUsd(10_000_000)));
    let plain = bill(&usage, terms, &price);
    assert_eq!(plain.cost.input, 1_005);
    assert_eq!(plain.left_out, LeftOut::REGION);
    price.regional_per_mille = Some(1100);
    let raised = bill(&usage, terms, &price);
    // 1,105.5, rounded after the raise.
    assert_eq!(
        (raised.cost.input, raised.cost.output, raised.cost.other),
        (1_106, 2_200_000, 20_000_000)
    );
    assert!(raised.left_out.is_empty());
}

#[test]
fn audio_and_images_are_taken_out_of_the_text() {
    let usage = Usage {
        input_tokens: 1_000,
        output_tokens: 500,
        cache_read_input_tokens: 300,
        media: MediaUsage {
            audio_input_tokens: 400,
            audio_cache_read_tokens: 100,
            audio_output_tokens: 200,
            image_input_tokens: 50,
            image_output_tokens: 60,
            audio_ms: 1_500,
        },
        ..Usage::default()
    };
    let rates = Rates {
        cache_read: Some(usd(0.5)),
        audio_input: Some(usd(32.0)),
        audio_cache_read: Some(usd(0.4)),
        audio_output: Some(usd(64.0)),
        image_input: Some(usd(5.0)),
        image_output: Some(usd(8.0)),
        ..plain(4.0, 16.0)
    };
    let mut price = price(rates);
    price.audio_second = Some(NanoUsd(100_000));
    assert_eq!(
        cost(&usage, &price),
        CostNanoUsd {
            input: 350 * 4_000 + 300 * 32_000 + 50 * 5_000,
            cache_read: 200 * 500 + 100 * 400,
            cache_creation: 0,
            output: 240 * 16_000 + 200 * 64_000 + 60 * 8_000,
            other: 150_000,
        }
    );
    price.standard.rates = plain(4.0, 16.0);
    price.audio_second = None;
    let bill = bill(&usage, Terms::default(), &price);
    assert_eq!(bill.left_out, LeftOut::AUDIO);
    assert_eq!(bill.cost.total(), 1_000 * 4_000 + 500 * 16_000);
}

#[test]
fn tools_cost_by_the_call_or_are_named() {
    let usage = Usage {
        tool_calls: ToolCalls {
            web_search: 3,
            maps: 2,
            file_search: 2,
            code_interpreter: 1,
            other: 0,
        },
        ..Usage::default()
    };
    let per_call = |nano| Some(ToolPrice::PerCall(NanoUsd(nano)));
    let mut price = price(plain(1.0, 1.0));
    price.tools = ToolPrices {
        web_search: per_call(10_000_000),
        maps: per_call(1_000_000),
        file_search: per_call(2_500_000),
        code_interpreter: per_call(30_000_000),
    };
    assert_eq!(cost(&usage, &price).other, 67_000_000);
    price.tools.web_search = Some(ToolPrice::PerRequest(NanoUsd(35_000_000)));
    assert_eq!(cost(&usage, &price).other, 72_000_000);
    assert_eq!(cost(&Usage::default(), &price).other, 0);
}

#[test]
fn every_tool_without_a_price_is_named() {
    let mut other = price(plain(1.0, 1.0));
    other.tools.web_search = Some(ToolPrice::PerCall(NanoUsd(10_000_000)));
    let none = ToolCalls::default();
    for (tool_calls, cost, left_out) in [
        (ToolCalls { maps: 1, ..none }, 0, LeftOut::TOOLS),
        (
            ToolCalls {
                file_search: 1,
                ..none
            },
            0,
            LeftOut::TOOLS,
        ),
        (
            ToolCalls {
                code_interpreter: 1,
                ..none
            },
            0,
            LeftOut::TOOLS,
        ),
        (ToolCalls { other: 1, ..none }, 0, LeftOut::TOOLS),
        (
            ToolCalls {
                web_search: 1,
                other: 1,
                ..none
            },
            10_000_000,
            LeftOut::TOOLS,
        ),
        (
            ToolCalls {
                web_search: 1,
                ..none
            },
            10_000_000,
            LeftOut::default(),
        ),
    ] {
        let usage = Usage {
            tool_calls,
            ..Usage::default()
        };
        let bill = bill(&usage, Terms::default(), &other);
        assert_eq!(
            (bill.cost.other, bill.left_out),
            (cost, left_out),
            "{tool_calls:?}"
        );
    }
}

#[test]
fn half_a_nano_dollar_rounds_up_and_once_per_component() {
    for (tokens, rate, expected) in [
        (1, 499_999, 0),
        (1, 500_000, 1),
        (3, 500_000, 2),
        (1, 1_499_999, 1),
        (u64::MAX, u64::MAX, COMPONENT_NANO_USD_MAX),
        (0, u64::MAX, 0),
    ] {
        let usage = Usage {
            output_tokens: tokens,
            ..Usage::default()
        };
        let price = price(Rates {
            output: NanoUsdPerMillion(rate),
            ..Rates::default()
        });
        assert_eq!(cost(&usage, &price).output, expected, "{tokens} × {rate}");
    }
    // Two lifetimes of 0.3 each are 0.6 together: one, not none.
    let usage = Usage {
        input_tokens: 2,
        cache_creation_input_tokens: 1,
        cache_creation_long_input_tokens: 1,
        ..Usage::default()
    };
    let price = price(Rates {
        cache_write: Some(NanoUsdPerMillion(300_000)),
        ..Rates::default()
    });
    assert_eq!(cost(&usage, &price).cache_creation, 1);
}
