//! The single values a configuration is made of, each with the range that makes sense.
//!
//! The range is part of the type, so it stands where the key is declared, is checked while
//! reading, and is told to whoever breaks it.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::model::{Affinity, BillingMode};
use super::provider::HttpVersion;
use super::reader::{Kind, Reader, Value, Written};
use super::{suggest, vocabulary};
use crate::name::{ModelName, Tag};
use crate::secret::Secret;

/// A whole number from `MIN` to `MAX`.
pub(super) struct Count<const MIN: u32, const MAX: u32>;

/// A whole number from 1 on.
pub(super) struct Positive;

/// A whole number up to `MAX`, where 0 means "off".
pub(super) struct CountOrOff<const MAX: u32>;

/// A whole number of seconds from `MIN` to `MAX`.
pub(super) struct Seconds<const MIN: u32, const MAX: u32>;

/// A whole number of seconds up to `MAX`, where 0 means "off".
pub(super) struct SecondsOrOff<const MAX: u32>;

/// A number from `MIN` to `MAX`.
pub(super) struct Number<const MIN: u32, const MAX: u32>;

/// A number greater than 0 and at most 100.
pub(super) struct Weight;

/// A sum of US dollars that is not negative.
pub(super) struct Price;

/// Above every price there is: who writes more has mistaken the unit.
const HIGHEST_PRICE: u32 = 1_000_000;

/// What names of users, providers, models and tags are made of.
pub(super) const NAME: &str = r"^[^\x00-\x20\x7f-\xa0\u2000-\u200a\u3000]{1,256}$";

/// What names of headers are made of.
pub(super) const HEADER_NAME: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

/// What addresses with a port look like; whether each number fits is not seen.
const ADDRESS: &str = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+(%[0-9]+)?\]):[0-9]{1,5}$";

/// What addresses and networks look like.
const NETWORK: &str = "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$";

/// A provider's key, which may be empty.
pub(super) struct ApiKey;

/// A user's token.
pub(super) struct Token;

/// The digest of a token.
pub(super) struct Digest;

/// A text that says something.
pub(super) struct Something;

/// The path of a file, where an empty text means "off".
pub(super) struct PathOrOff;

/// Returns a whole number within a range.
fn whole(written: &Written<'_>, min: u32, max: u32) -> Option<u32> {
    let number = written.get_ref().as_integer()?;
    let number = u32::from_str_radix(number.as_str(), number.radix()).ok()?;
    (min..=max).contains(&number).then_some(number)
}

/// Returns any number; one without a fraction need not be written with one.
fn number(written: &Written<'_>) -> Option<f64> {
    match written.get_ref() {
        DeValue::Integer(number) => i32::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(f64::from),
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => None,
    }
}

impl<const MIN: u32, const MAX: u32> Value for Count<MIN, MAX> {
    type Output = u32;

    const KIND: Kind = Kind::Whole(MIN, MAX);

    fn expected() -> Cow<'static, str> {
        format!("a whole number from {MIN} to {MAX}").into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output> {
        reader.expect::<Self, _>(written, whole(written, MIN, MAX))
    }
}

impl Value for Positive {
    type Output = NonZeroU32;

    const KIND: Kind = Kind::Whole(1, u32::MAX);

    fn expected() -> Cow<'static, str> {
        format!("a whole number from 1 to {}", u32::MAX).into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output> {
        let count = whole(written, 1, u32::MAX).and_then(NonZeroU32::new);
        reader.expect::<Self, _>(written, count)
    }
}

impl<const MAX: u32> Value for CountOrOff<MAX> {
    type Output = Option<NonZeroU32>;

    const KIND: Kind = Kind::Whole(0, MAX);

    fn expected() -> Cow<'static, str> {
        format!("a whole number up to {MAX}, or 0 for off").into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output> {
        let count = reader.expect::<Self, _>(written, whole(written, 0, MAX))?;
        Some(NonZeroU32::new(count))
    }
}

impl<const MIN: u32, const MAX: u32> Value for Seconds<MIN, MAX> {
    type Output = Duration;

    const KIND: Kind = Kind::Seconds(MIN, MAX);

    fn expected() -> Cow<'static, str> {
        format!("a whole number of seconds from {MIN} to {MAX}").into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output> {
        let seconds = reader.expect::<Self, _>(written, whole(written, MIN, MAX))?;
        Some(Duration::from_secs(seconds.into()))
    }
}

impl<const MAX: u32> Value for SecondsOrOff<MAX> {
    type Output = Option<Duration>;

    const KIND: Kind = Kind::Seconds(0, MAX);

    fn expected() -> Cow<'static, str> {
        format!("a whole number of seconds up to {MAX}, or 0 for off").into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output> {
        let seconds = reader.expect::<Self, _>(written, whole(written, 0, MAX))?;
        Some((seconds > 0).then(|| Duration::from_secs(seconds.into())))
    }
}

impl<const MIN: u32, const MAX: u32> Value for Number<MIN, MAX> {
    type Output = f64;

    const KIND: Kind = Kind::Decimal(MIN, MAX);

    fn expected() -> Cow<'static, str> {
        format!("a number from {MIN} to {MAX}").into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output> {
        let range = f64::from(MIN)..=f64::from(MAX);
        let number = number(written).filter(|number| range.contains(number));
        reader.expect::<Self, _>(written, number)
    }
}

impl Value for Weight {
    type Output = f64;

    const KIND: Kind = Kind::Share(100);

    fn expected() -> Cow<'static, str> {
        "a number greater than 0 and at most 100".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output> {
        let weight = number(written).filter(|&weight| weight > 0.0 && weight <= 100.0);
        reader.expect::<Self, _>(written, weight)
    }
}

impl Value for Price {
    type Output = f64;

    const KIND: Kind = Kind::Decimal(0, HIGHEST_PRICE);

    fn expected() -> Cow<'static, str> {
        format!("a price in US dollars from 0 to {HIGHEST_PRICE}").into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output> {
        let possible = 0.0..=f64::from(HIGHEST_PRICE);
        let price = number(written).filter(|price| possible.contains(price));
        reader.expect::<Self, _>(written, price)
    }
}

impl Value for bool {
    type Output = Self;

    const KIND: Kind = Kind::Flag;

    fn expected() -> Cow<'static, str> {
        "`true` or `false`".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self> {
        reader.expect::<Self, _>(written, written.get_ref().as_bool())
    }
}

impl Value for String {
    type Output = Self;

    fn expected() -> Cow<'static, str> {
        "a string".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self> {
        let text = written.get_ref().as_str();
        reader.expect::<Self, _>(written, text).map(Self::from)
    }
}

impl Value for PathOrOff {
    type Output = Option<PathBuf>;

    fn expected() -> Cow<'static, str> {
        "a path".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output> {
        let text = reader.expect::<Self, _>(written, written.get_ref().as_str())?;
        Some((!text.is_empty()).then(|| PathBuf::from(text)))
    }
}

/// Declares kinds of texts that must not be shown; who resolves them says what is wrong with them.
macro_rules! secrets {
    ($($name:ty: $kind:expr,)+) => { $(
        impl Value for $name {
            type Output = Secret;

            const SECRET: bool = true;

            const KIND: Kind = $kind;

            fn expected() -> Cow<'static, str> {
                "a string".into()
            }

            fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Secret> {
                let text = written.get_ref().as_str();
                reader.expect::<Self, _>(written, text).map(Secret::new)
            }
        }
    )+ };
}

secrets! {
    Secret: Kind::Text,
    ApiKey: Kind::Pattern("^[!-~]*$"),
    Token: Kind::Pattern("^[!-~]+$"),
    Digest: Kind::Pattern("^[0-9A-Fa-f]{64}$"),
}

impl Value for Something {
    type Output = String;

    const KIND: Kind = Kind::Pattern(".");

    fn expected() -> Cow<'static, str> {
        String::expected()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<String> {
        String::read(written, reader)
    }
}

/// Reads a text that one of our own or the libraries' types parses.
fn parsed<T: Value<Output = T>, E: std::fmt::Display>(
    written: &Written<'_>,
    reader: &mut Reader,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let text = reader.expect::<T, _>(written, written.get_ref().as_str())?;
    parse(text)
        .map_err(|why| reader.refuse(written.span(), &T::expected(), why))
        .ok()
}

impl Value for Tag {
    type Output = Self;

    const KIND: Kind = Kind::Pattern(NAME);

    fn expected() -> Cow<'static, str> {
        "a tag".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(written, reader, Self::parse)
    }
}

impl Value for ModelName {
    type Output = Self;

    const KIND: Kind = Kind::Pattern(NAME);

    fn expected() -> Cow<'static, str> {
        "a model's name".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(written, reader, Self::parse)
    }
}

impl Value for SocketAddr {
    type Output = Self;

    const KIND: Kind = Kind::Pattern(ADDRESS);

    fn expected() -> Cow<'static, str> {
        "an address and port such as `127.0.0.1:3000`".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(written, reader, |text| {
            text.parse()
                .map_err(|_| "an IP address and a port are needed; `0.0.0.0` is every address")
        })
    }
}

impl Value for IpNet {
    type Output = Self;

    const KIND: Kind = Kind::Pattern(NETWORK);

    fn expected() -> Cow<'static, str> {
        "an address or network such as `10.0.0.0/8`".into()
    }

    /// An address alone is the network that has only it in it.
    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(written, reader, |text| match text.parse::<IpAddr>() {
            Ok(address) => Ok(Self::from(address.to_canonical())),
            Err(_) => text
                .parse::<Self>()
                .map(|network| canonical(network.trunc())),
        })
    }
}

/// Returns a network of IPv4 addresses that is written as IPv6 as what it is: peers are compared in
/// that form.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else {
        return network;
    };
    let v4 = v6
        .addr()
        .to_ipv4_mapped()
        .zip(v6.prefix_len().checked_sub(96));
    v4.and_then(|(address, length)| Ipv4Net::new(address, length).ok())
        .map_or(network, IpNet::V4)
}

impl Value for jiff::Timestamp {
    type Output = Self;

    const KIND: Kind = Kind::Moment;

    fn expected() -> Cow<'static, str> {
        "a time such as `2030-01-31T00:00:00Z`".into()
    }

    /// TOML has dates of its own, which need no quotes; both spellings are understood.
    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self> {
        let text = match written.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Datetime(time) => Some(time.to_string()),
            _ => None,
        };
        let text = reader.expect::<Self, _>(written, text)?;
        let time = text.parse().ok();
        if time.is_none() {
            let why = "a date, a time and an offset from UTC are needed";
            reader.refuse(written.span(), &Self::expected(), why);
        }
        time
    }
}

/// Reads one of a few names, in any of the usual spellings.
pub(super) fn chosen<T: Value<Output = T> + Copy>(
    written: &Written<'_>,
    reader: &mut Reader,
    choices: &[(&'static str, T)],
) -> Option<T> {
    let text = reader.expect::<T, _>(written, written.get_ref().as_str())?;
    let found = choices
        .iter()
        .find(|(name, _)| vocabulary::same_name(name, text));
    if found.is_none() {
        let message = format!("`{}` cannot be `{text}`", reader.path());
        let help = suggest::help(text, choices.iter().map(|&(name, _)| name));
        reader
            .findings
            .push(Diagnostic::error(message).at(written.span()).help_if(help));
    }
    found.map(|&(_, value)| value)
}

impl Value for HttpVersion {
    type Output = Self;

    const KIND: Kind = Kind::Choice(&["auto", "http1", "h2c"]);

    fn expected() -> Cow<'static, str> {
        "`auto`, `http1` or `h2c`".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self> {
        let choices = [
            ("auto", Self::Auto),
            ("http1", Self::Http1),
            ("h2c", Self::H2c),
        ];
        chosen(written, reader, &choices)
    }
}

impl Value for Affinity {
    type Output = Self;

    const KIND: Kind = Kind::Choice(&["none", "user", "prompt_cache_key"]);

    fn expected() -> Cow<'static, str> {
        "`none`, `user` or `prompt_cache_key`".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self> {
        let choices = [
            ("none", Self::None),
            ("user", Self::User),
            ("prompt_cache_key", Self::PromptCacheKey),
        ];
        chosen(written, reader, &choices)
    }
}

impl Value for BillingMode {
    type Output = Self;

    const KIND: Kind = Kind::Choice(&["per_token", "per_request"]);

    fn expected() -> Cow<'static, str> {
        "`per_token` or `per_request`".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self> {
        let choices = [
            ("per_token", Self::PerToken),
            ("per_request", Self::PerRequest),
        ];
        chosen(written, reader, &choices)
    }
}
