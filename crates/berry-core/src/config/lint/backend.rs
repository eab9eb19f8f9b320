//! Backends whose numbers are not what somebody thinks: weights and ranks that nothing looks at, and
//! prices that are missing, mistaken or for something else.

use super::{Lint, active};
use crate::config::{Backend, BillingMode, Model, Prices, suggest};

/// The strategy that goes by prices.
const BY_PRICE: &str = "smart_ai";

/// The key by which backends are ranked.
const PRIORITY: &str = "priority";

/// No model costs less than this for a million tokens, in US dollars; for one token or a thousand, many do.
const LOWEST_PRICE: f64 = 0.001;

impl Lint<'_> {
    /// Names a key that backends are told apart by, where the strategy does not look at it.
    pub(super) fn ignored_keys(&mut self) {
        for model in self.served() {
            let strategy = model.strategy;
            let mut terms = self.strategies.iter();
            let term = terms.find(|term| term.name == strategy);
            let ignored = term.map_or(&[][..], |term| term.ignores);
            let is_ranked = !ignored.contains(&PRIORITY) && differ(model, PRIORITY);
            for key in ignored {
                if !differ(model, key) || is_ranked {
                    continue;
                }
                let heed = self.strategies.iter();
                let heed = heed.filter(|term| term.available && !term.ignores.contains(key));
                let help = suggest::list(heed.map(|term| term.name));
                let message = format!(
                    "the `{key}` of the backends of model `{}` has no effect under `{strategy}`",
                    model.key
                );
                let help = help.map(|list| format!("it counts under {list}"));
                let path = ["models", model.key.as_str(), "strategy"];
                self.warn(&path, message, help.as_deref());
            }
        }
    }

    /// Names the backends that a strategy which goes by prices takes to be free.
    pub(super) fn missing_prices(&mut self) {
        for model in self.served().filter(|model| model.strategy == BY_PRICE) {
            let key = model.key.as_str();
            if active(model).next().is_some()
                && active(model).all(|backend| has_none(&backend.prices))
            {
                let message = format!("model `{key}` goes by prices, and no backend of it has one");
                let help = "write `input_price` and `output_price`, or `request_price`";
                self.warn(&["models", key, "backends"], message, Some(help));
                continue;
            }
            for backend in active(model).filter(|backend| !is_known(&backend.prices)) {
                let name = format!("{}:{}", backend.provider.id, backend.model);
                let lack = match lack(&backend.prices) {
                    Some((has, lacks)) => format!("{has} and no {lacks}"),
                    None => "no price".to_owned(),
                };
                let message =
                    format!("model `{key}` goes by prices, and its backend `{name}` has {lack}");
                let help = "it is taken to cost as little as the cheapest";
                self.warn_row(model, backend, message, Some(help));
            }
        }
    }

    /// Names prices that can hardly be what the provider asks.
    pub(super) fn odd_prices(&mut self) {
        for model in self.served() {
            for backend in active(model) {
                let is_priced = active(model).any(|backend| !has_none(&backend.prices));
                if let Some((what, help)) = oddity(backend, is_priced) {
                    let name = format!("{}:{}", backend.provider.id, backend.model);
                    let message = format!("the backend `{name}` of model `{}` {what}", model.key);
                    self.warn_row(model, backend, message, Some(help));
                }
            }
        }
    }
}

/// Whether the backends of a model are told apart by this key.
fn differ(model: &Model, key: &str) -> bool {
    let value = |backend: &Backend| match key {
        PRIORITY => f64::from(backend.priority),
        _ => backend.weight,
    };
    let mut values = active(model).map(value);
    let first = values.next();
    values.any(|value| Some(value) != first)
}

/// Whether nothing is known of what a request costs.
fn has_none(prices: &Prices) -> bool {
    *prices == Prices::default()
}

/// Whether it is known what a request costs.
fn is_known(prices: &Prices) -> bool {
    prices.request.is_some() || (prices.input.is_some() && prices.output.is_some())
}

/// Returns which price for tokens there is, and which there is not.
fn lack(prices: &Prices) -> Option<(&'static str, &'static str)> {
    match (prices.input, prices.output) {
        (Some(_), None) => Some(("`input_price`", "`output_price`")),
        (None, Some(_)) => Some(("`output_price`", "`input_price`")),
        _ => None,
    }
}

/// Says what is odd about the prices of a backend, whose model has prices or has none, and what to do.
fn oddity(backend: &Backend, is_priced: bool) -> Option<(&'static str, &'static str)> {
    let Prices {
        input,
        output,
        cached_input,
        cache_write,
        request,
    } = backend.prices;
    let is_tiny = |price: f64| price > 0.0 && price < LOWEST_PRICE;
    if [input, output, cache_write]
        .into_iter()
        .flatten()
        .any(is_tiny)
    {
        Some((
            "has a price of less than a thousandth of a dollar",
            "prices are for a million tokens: what costs $0.0000025 a token has a price of 2.5",
        ))
    } else if cached_input
        .zip(input)
        .is_some_and(|(cached, input)| cached > input)
    {
        Some((
            "has a `cached_input_price` above its `input_price`",
            "what was cached costs less with every provider: are the two swapped?",
        ))
    } else if backend.billing == BillingMode::PerRequest && request.is_none() && is_priced {
        Some((
            "is billed `per_request` and has no `request_price`",
            "write `request_price`, in dollars per request",
        ))
    } else {
        None
    }
}
