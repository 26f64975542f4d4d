//! What a permitted request would spend of which limit. Nothing is spent here: the data plane does, and the control
//! plane tells.

use super::{
    Permit,
    bound::{Size, Unbounded, bound, fees, uses_tokens},
    charge::{Charge, charges},
};
use crate::{
    config::{Estimate, LimitsConfig},
    dialect::{
        Operation,
        elsewhere::{Elsewhere, Endless},
    },
    handoff::{
        ledger::Unit,
        snapshot::{Price, access::LimitMode},
    },
};

/// What of a request says how much it may use.
#[derive(Debug, Clone, Copy)]
pub struct Wants {
    pub operation: Operation,
    pub size: Size,
    /// A bound on its output can be written into it.
    pub may_be_bounded: bool,
}

/// The limits of a request, and what it takes of each.
pub struct Plan<'a> {
    pub charges: Vec<Charge<'a>>,
    /// A bound that must be written into the request, which has none: of each answer.
    pub output_tokens_max: Option<u64>,
    operation: Operation,
    size: Size,
    elsewhere: Elsewhere,
    price: Option<&'a Price>,
    estimate: Estimate,
}

/// Why a request is denied before any limit is looked at.
pub enum Unplanned<'a> {
    /// A guardrail allows less output; `None`: there is no telling how much is wanted.
    Output { wanted: Option<u64>, most: u64 },
    /// A hard limit holds, and there is no upper bound.
    Unbounded(Charge<'a>, Unbounded),
}

impl<'a> Plan<'a> {
    /// `elsewhere`: what it makes the model read beyond its size; asked where a hard limit holds.
    ///
    /// # Errors
    /// See [`Unplanned`].
    pub fn new(
        permit: &Permit<'a>,
        wants: Wants,
        config: &LimitsConfig,
        elsewhere: impl FnOnce() -> Result<Elsewhere, Endless>,
    ) -> Result<Self, Unplanned<'a>> {
        let Wants {
            operation,
            mut size,
            may_be_bounded,
        } = wants;
        let charges = charges(permit);
        let hard = charges.iter().find(|charge| is_hard(charge));
        let guarded = permit.policy().output_tokens_max;
        let mut output_tokens_max = None;
        match (size.output_tokens_max, guarded) {
            (Some(wanted), Some(most)) if wanted > most => {
                let wanted = Some(wanted);
                return Err(Unplanned::Output { wanted, most });
            }
            (None, Some(most)) if !may_be_bounded && uses_tokens(operation) == Some(true) => {
                return Err(Unplanned::Output { wanted: None, most });
            }
            (None, most) if most.is_some() || hard.is_some() => {
                let most = most.unwrap_or(config.hard_output_tokens);
                if may_be_bounded {
                    let answers = size.answers.max(1);
                    let most = (most / answers).max(1);
                    output_tokens_max = Some(most);
                    size.output_tokens_max = Some(most.saturating_mul(answers));
                }
            }
            (Some(_) | None, _) => {}
        }
        let elsewhere = match hard {
            Some(charge) if uses_tokens(operation).is_some() => {
                elsewhere().map_err(|why| Unplanned::Unbounded(*charge, Unbounded::Input(why)))?
            }
            Some(_) | None => Elsewhere::default(),
        };
        Ok(Self {
            charges,
            output_tokens_max,
            operation,
            size,
            elsewhere,
            price: permit.price(),
            estimate: config.soft,
        })
    }

    /// What the request takes of a limit.
    ///
    /// # Errors
    /// When the limit is hard and there is no saying.
    pub fn amount(&self, charge: &Charge<'_>) -> Result<u64, Unbounded> {
        // What counts requests needs no bound, however hard it is.
        let mode = match is_hard(charge) {
            true => LimitMode::Hard,
            false => LimitMode::Soft,
        };
        let amounts = bound(
            mode,
            self.operation,
            self.size,
            &self.elsewhere,
            self.price,
            self.estimate,
        )?;
        let unit = charge.bucket.unit();
        if !is_hard(charge) || unit != Unit::NanoUsd || amounts.tokens == 0 {
            return Ok(amounts.of(unit));
        }
        let price = self.price.ok_or(Unbounded::Price)?;
        if self.operation == Operation::Realtime && price.audio_second.is_some() {
            // Nothing bounds how long somebody speaks.
            return Err(Unbounded::Operation);
        }
        let fees = fees(&self.elsewhere.tool_calls, price)?;
        Ok(amounts.nano_usd.saturating_add(fees))
    }
}

/// A hard limit of tokens or money.
pub fn is_hard(charge: &Charge<'_>) -> bool {
    let is_amount = match charge.bucket.unit() {
        Unit::Tokens | Unit::NanoUsd => true,
        Unit::Requests | Unit::InFlight => false,
    };
    is_amount && charge.mode == LimitMode::Hard
}
