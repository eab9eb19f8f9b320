//! `reasoning_effort`, and what it excludes.
//!
//! | model's thinking | `none` | `minimal`, `low` | `medium` | `high` | `xhigh`, `max` |
//! |---|---|---|---|---|---|
//! | never | dropped | dropped | dropped | dropped | dropped |
//! | a budget, a share of the answer's limit | nothing | 20 % | 50 % | 80 % | 90 % |
//! | adaptive | disabled | effort `low` | `medium` | `high` | the same, or `high` before 4.7 |
//! | always | effort `low` | `low` | `medium` | `high` | the same |
//!
//! The limit stays what the client says, since OpenAI's includes reasoning too. A budget is at least
//! 1024 tokens and less than the limit; where there is no room for it, there is no thinking.
//!
//! Anthropic refuses thinking beside a forced tool, so the effort yields to it. It also refuses a
//! budget where the turn that the model continues (after results of tools) does not begin with
//! thinking: a client that does not send `thinking_blocks` back gets no thinking there.
//!
//! A `thinking` object of the client's own is sent as it is instead. While the model thinks,
//! `temperature` and `top_k` are dropped, and `top_p` below 0.95: Anthropic refuses them.

use serde_json::{Map, Value, json};

use super::super::super::translate::Untranslatable;
use super::super::model::{Model, Sampling, Thinking};
use super::super::place::Place;
use super::field::Fields;

/// The least budget that Anthropic takes.
const LEAST_BUDGET: u64 = 1024;

/// The least `top_p` beside thinking.
const LEAST_TOP_P: f64 = 0.95;

/// How the model is told to think.
#[derive(Debug, Default)]
pub(super) struct Thought {
    pub(super) thinking: Option<Value>,
    pub(super) effort: Option<&'static str>,
}

/// What else is asked for that thinking depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    pub(super) model: Model,
    /// The limit of the answer.
    pub(super) most_tokens: u64,
    pub(super) tool_is_forced: bool,
    pub(super) can_go_on_thinking: bool,
}

/// The levels of `reasoning_effort`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    None,
    Low,
    Medium,
    High,
    Higher,
    Highest,
}

impl Thought {
    /// Takes the members about thinking.
    pub(super) fn read(
        fields: &mut Fields,
        circumstances: Circumstances,
    ) -> Result<Self, Untranslatable> {
        let effort = match fields.text("reasoning_effort")? {
            None => None,
            Some(word) => Some(Effort::read(&word)?),
        };
        let mut thought = effort.map_or_else(Self::default, |effort| effort.think(circumstances));
        if let Some(own) = fields.take("thinking") {
            thought.thinking = Some(own);
        }
        Ok(thought)
    }

    /// Takes the members about sampling, as far as the model takes them now, into a body.
    pub(super) fn write_sampling(
        &self,
        fields: &mut Fields,
        model: Model,
        body: &mut Map<String, Value>,
    ) -> Result<(), Untranslatable> {
        // OpenAI's scale ends at 2, Anthropic's at 1: what is above is as random as it can be.
        let mut temperature = fields.share("temperature", 2.0)?.map(|it| it.min(1.0));
        let mut top_p = fields.share("top_p", 1.0)?;
        let mut top_k = fields.take("top_k");
        if model.sampling == Sampling::Neither {
            return Ok(());
        }
        if self.is_on() {
            (temperature, top_k) = (None, None);
            top_p = top_p.filter(|share| *share >= LEAST_TOP_P);
        }
        if model.sampling == Sampling::Either && top_p.is_some() {
            // Of the two the one that says something; OpenAI advises to set only one.
            match temperature {
                Some(1.0) => temperature = None,
                Some(_) => top_p = None,
                None => {}
            }
        }
        let entries = [
            ("temperature", temperature.map(Value::from)),
            ("top_p", top_p.map(Value::from)),
            ("top_k", top_k),
        ];
        for (name, value) in entries {
            if let Some(value) = value {
                body.insert(name.into(), value);
            }
        }
        Ok(())
    }

    fn is_on(&self) -> bool {
        let thinking = self.thinking.as_ref();
        thinking.is_some_and(|thinking| thinking["type"] != "disabled")
    }
}

impl Effort {
    fn read(word: &str) -> Result<Self, Untranslatable> {
        Ok(match word {
            "none" => Self::None,
            "minimal" | "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" => Self::Higher,
            "max" => Self::Highest,
            _ => {
                let reason = "must be `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`";
                return Err(Place::of("reasoning_effort").refuse(reason));
            }
        })
    }

    fn think(self, circumstances: Circumstances) -> Thought {
        let model = circumstances.model;
        match (model.thinking, self) {
            (Thinking::Never, _) | (Thinking::Budget, Self::None) => Thought::default(),
            (Thinking::Budget, _) => Thought {
                thinking: self
                    .budget(circumstances)
                    .map(|budget| json!({"type": "enabled", "budget_tokens": budget})),
                effort: None,
            },
            (Thinking::Adaptive, Self::None) => Thought {
                thinking: Some(json!({"type": "disabled"})),
                effort: None,
            },
            (Thinking::Adaptive | Thinking::Always, _) => Thought {
                // Without `display` current models think in silence.
                thinking: (self != Self::None && !circumstances.tool_is_forced)
                    .then(|| json!({"type": "adaptive", "display": "summarized"})),
                effort: Some(self.word(model)),
            },
        }
    }

    fn budget(self, circumstances: Circumstances) -> Option<u64> {
        let percent = match self {
            Self::None => return None,
            Self::Low => 20,
            Self::Medium => 50,
            Self::High => 80,
            Self::Higher | Self::Highest => 90,
        };
        let most = circumstances.most_tokens;
        let possible = most > LEAST_BUDGET
            && !circumstances.tool_is_forced
            && circumstances.can_go_on_thinking;
        let share = u128::from(most) * percent / 100;
        let share = u64::try_from(share).unwrap_or(most);
        possible.then(|| share.max(LEAST_BUDGET))
    }

    fn word(self, model: Model) -> &'static str {
        match self {
            Self::None | Self::Low => "low",
            Self::Medium => "medium",
            Self::Higher if model.high_efforts => "xhigh",
            Self::Highest if model.high_efforts => "max",
            Self::High | Self::Higher | Self::Highest => "high",
        }
    }
}
