//! The text that Prometheus reads, in its two forms.
//!
//! They differ in what a reader trips over: OpenMetrics names a family of counters without the
//! `_total` of its samples, writes bounds as floats, and ends with a mark.

use std::fmt::{self, Display, Write};

use berry_core::Distribution;
use http::HeaderMap;
use http::header::{ACCEPT, HeaderValue};

/// One of the two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `text/plain;version=0.0.4`.
    Classic,
    /// `application/openmetrics-text`.
    OpenMetrics,
}

impl Form {
    /// Returns the form that a client likes best; none where that is JSON, or where it asks for neither.
    /// Of what it likes alike, what it names first.
    pub(crate) fn wanted(headers: &HeaderMap) -> Option<Self> {
        let accepted = headers.get_all(ACCEPT).iter();
        let kinds = accepted.filter_map(|value| value.to_str().ok());
        let (mut best, mut most, mut anything) = (None, 0.0, 0.0);
        for kind in kinds.flat_map(|value| value.split(',')) {
            let (form, liking) = match Range::parse(kind) {
                (Range::Form(form), liking) => (Some(form), liking),
                (Range::Json, liking) => (None, liking),
                (Range::Anything, liking) => {
                    anything = liking.max(anything);
                    continue;
                }
                (Range::Other, _) => continue,
            };
            if liking > most {
                (best, most) = (form, liking);
            }
        }
        best.filter(|_| most >= anything)
    }

    /// Returns the content type.
    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }
}

/// What a media range means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    Form(Form),
    Json,
    /// JSON too, where nothing is said of it by name.
    Anything,
    Other,
}

impl Range {
    /// Reads one, in letters of either case, and how much it is liked.
    fn parse(range: &str) -> (Self, f64) {
        let range = range.to_ascii_lowercase();
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let (mut version, mut liking) = (None, 1.0);
        for part in parts {
            match part.split_once('=') {
                Some(("version", value)) => version = Some(value.trim_matches('"')),
                Some(("q", value)) => liking = value.parse().unwrap_or(0.0),
                _ => {}
            }
        }
        let range = match (kind, version) {
            ("application/openmetrics-text", _) => Self::Form(Form::OpenMetrics),
            ("text/plain", Some("0.0.4")) => Self::Form(Form::Classic),
            ("application/json", _) => Self::Json,
            ("*/*" | "application/*", _) => Self::Anything,
            _ => Self::Other,
        };
        (range, liking)
    }
}

/// What a family's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A page being written.
#[derive(Debug)]
pub(crate) struct Exposition {
    form: Form,
    text: String,
}

/// A family being written: its samples follow.
#[derive(Debug)]
pub(crate) struct Family<'a> {
    page: &'a mut Exposition,
    name: &'static str,
}

/// The labels of a sample.
pub(crate) type Labels<'a> = &'a [(&'static str, &'a str)];

impl Exposition {
    pub(crate) fn new(form: Form) -> Self {
        Self {
            form,
            text: String::with_capacity(16 * 1024),
        }
    }

    /// Begins a family; a counter's name ends in `_total`.
    pub(crate) fn family(&mut self, kind: Kind, name: &'static str, help: &str) -> Family<'_> {
        let family = match self.form {
            Form::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
            Form::Classic => name,
        };
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.put(format_args!(
            "# HELP {family} {help}\n# TYPE {family} {kind}\n"
        ));
        Family { page: self, name }
    }

    /// Returns the text.
    pub(crate) fn end(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.put(format_args!("# EOF\n"));
        }
        self.text
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        // A string takes whatever is written.
        let _ = self.text.write_fmt(text);
    }

    fn sample(&mut self, (name, suffix): (&str, &str), labels: Labels<'_>, value: impl Display) {
        self.put(format_args!("{name}{suffix}"));
        let mut opening = '{';
        for (label, text) in labels {
            self.put(format_args!("{opening}{label}=\"{}\"", Escaped(text)));
            opening = ',';
        }
        if opening == ',' {
            self.put(format_args!("}}"));
        }
        self.put(format_args!(" {value}\n"));
    }
}

impl Family<'_> {
    /// Adds a number.
    pub(crate) fn put(&mut self, labels: Labels<'_>, value: impl Display) {
        self.page.sample((self.name, ""), labels, value);
    }

    /// Adds a distribution.
    pub(crate) fn put_distribution(&mut self, labels: Labels<'_>, read: &Distribution) {
        let (page, name) = (&mut *self.page, self.name);
        for (bound, count) in &read.up_to {
            // `Debug` of a float has a point in it, as OpenMetrics wants it.
            let bound = format!("{:?}", bound.as_secs_f64());
            page.sample((name, "_bucket"), &up_to(labels, &bound), count);
        }
        page.sample((name, "_bucket"), &up_to(labels, "+Inf"), read.count);
        page.sample((name, "_sum"), labels, read.sum.as_secs_f64());
        page.sample((name, "_count"), labels, read.count);
    }
}

/// Returns the labels of a bucket.
fn up_to<'a>(labels: Labels<'a>, bound: &'a str) -> Vec<(&'static str, &'a str)> {
    [labels, &[("le", bound)]].concat()
}

/// A label's value, as both forms escape it.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn page(form: Form) -> String {
        let mut page = Exposition::new(form);
        page.family(Kind::Counter, "retries_total", "Retries.")
            .put(&[("reason", "a\"b\\c\nd")], 3);
        page.family(Kind::Gauge, "active_connections", "Connections.")
            .put(&[], 2);
        let read = Distribution {
            up_to: vec![(Duration::from_secs(1), 1)],
            count: 2,
            sum: Duration::from_millis(2500),
        };
        page.family(Kind::Histogram, "latency_seconds", "Latency.")
            .put_distribution(&[("model", "m")], &read);
        page.end()
    }

    #[test]
    fn the_classic_form_names_its_samples() {
        let expected = concat!(
            "# HELP retries_total Retries.\n# TYPE retries_total counter\n",
            "retries_total{reason=\"a\\\"b\\\\c\\nd\"} 3\n",
            "# HELP active_connections Connections.\n# TYPE active_connections gauge\n",
            "active_connections 2\n",
            "# HELP latency_seconds Latency.\n# TYPE latency_seconds histogram\n",
            "latency_seconds_bucket{model=\"m\",le=\"1.0\"} 1\n",
            "latency_seconds_bucket{model=\"m\",le=\"+Inf\"} 2\n",
            "latency_seconds_sum{model=\"m\"} 2.5\n",
            "latency_seconds_count{model=\"m\"} 2\n",
        );
        assert_eq!(page(Form::Classic), expected);
    }

    #[test]
    fn openmetrics_names_the_family_without_its_suffix_and_ends_with_a_mark() {
        let page = page(Form::OpenMetrics);

        assert!(
            page.starts_with("# HELP retries Retries.\n# TYPE retries counter\nretries_total{")
        );
        assert!(page.ends_with("latency_seconds_count{model=\"m\"} 2\n# EOF\n"));
    }

    #[test]
    fn a_client_gets_the_form_that_it_likes_best() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, form) in [
            (prometheus, Some(Form::OpenMetrics)),
            ("text/plain;version=0.0.4", Some(Form::Classic)),
            (
                "text/plain; version=0.0.4, application/openmetrics-text; q=0.9",
                Some(Form::Classic),
            ),
            ("Application/OpenMetrics-Text", Some(Form::OpenMetrics)),
            ("application/openmetrics-text;q=0", None),
            (
                "text/plain;Version=\"0.0.4\";Q=0.4, application/openmetrics-text;Q=0.3",
                Some(Form::Classic),
            ),
            ("application/json, text/plain;version=0.0.4;q=0.5", None),
            (
                "application/json;q=0.4, text/plain;version=0.0.4;q=0.5",
                Some(Form::Classic),
            ),
            (
                "text/plain;version=0.0.4, application/json",
                Some(Form::Classic),
            ),
            ("application/json, text/plain;version=0.0.4", None),
            ("*/*, text/plain;version=0.0.4", Some(Form::Classic)),
            ("*/*, text/plain;version=0.0.4;q=0.5", None),
            ("text/plain", None),
            ("application/json", None),
            ("*/*", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(Form::wanted(&headers), form, "{accept}");
        }
        assert_eq!(Form::wanted(&HeaderMap::new()), None);
    }
}
