//! The labels of requests: each from a fixed table, so that no client can add a series.

use http::Method;

/// A route, as `path` in metrics shows it: an index into [`PATHS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PathLabel(usize);

/// Every route, sorted by its bytes.
const PATHS: &[&str] = &[
    "/",
    "/admin/backend-health",
    "/admin/model-weights",
    "/admin/rate-limit-usage",
    "/admin/reload-config",
    "/admin/system-stats",
    "/admin/usage",
    "/health",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/models",
    "/monitoring",
    "/monitoring/health",
    "/monitoring/info",
    "/monitoring/model-weights",
    "/monitoring/performance",
    "/prometheus",
    "/smart-ai/models/{model}/weights",
    "/smart-ai/weights",
    "/status",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/health",
    "/v1/images/edits",
    "/v1/images/generations",
    "/v1/models",
    "/v1/models/{id}",
    "/v1/moderations",
    "/v1/rerank",
    "/v1/responses",
    "/v1/responses/{id}",
    "/v1/responses/{id}/cancel",
    "/v1/responses/{id}/input_items",
    OTHER,
];

/// What is in no table.
const OTHER: &str = "other";

impl PathLabel {
    /// How many there are.
    pub(crate) const COUNT: usize = PATHS.len();

    /// Returns the label of a request's path.
    pub(crate) fn of(path: &str) -> Self {
        let label = match path {
            path if path.contains(['{', '}']) => OTHER,
            path if path.starts_with("/v1/responses/") => match path.rsplit('/').next() {
                Some("cancel") => "/v1/responses/{id}/cancel",
                Some("input_items") => "/v1/responses/{id}/input_items",
                _ => "/v1/responses/{id}",
            },
            path if path.starts_with("/v1/models/") => "/v1/models/{id}",
            path if path.starts_with("/smart-ai/models/") => "/smart-ai/models/{model}/weights",
            path => path,
        };
        Self(PATHS.binary_search(&label).unwrap_or(PATHS.len() - 1))
    }

    /// Returns the place in the table.
    pub(crate) fn index(self) -> usize {
        self.0
    }

    /// Returns the label at a place.
    pub(crate) fn at(index: usize) -> &'static str {
        PATHS.get(index).copied().unwrap_or(OTHER)
    }

    /// Returns the labels in the order of their places.
    pub(crate) fn all() -> impl Iterator<Item = &'static str> {
        PATHS.iter().copied()
    }
}

/// The methods that have a label of their own.
pub(crate) const METHODS: [&str; 6] = ["GET", "POST", "HEAD", "OPTIONS", "DELETE", OTHER];

/// Returns the place of a method's label.
pub(crate) fn method(method: &Method) -> usize {
    let known = METHODS.iter().position(|known| method.as_str() == *known);
    known.unwrap_or(METHODS.len() - 1)
}

/// The statuses that have a label of their own, and the classes of the others. An upstream may
/// invent any.
pub(crate) const STATUSES: [&str; 26] = [
    "200", "201", "202", "204", "400", "401", "403", "404", "405", "408", "409", "413", "415",
    "422", "429", "499", "500", "501", "502", "503", "504", "1xx", "2xx", "3xx", "4xx", "5xx",
];

/// Returns the place of a status's label.
pub(crate) fn status(status: u16) -> usize {
    let place = PLACES.get(usize::from(status));
    place.copied().unwrap_or(STATUSES.len() - 1)
}

/// The places by status: each request is looked up, which takes a fifth of a search.
static PLACES: [usize; 600] = {
    const CODES: [usize; 21] = [
        200, 201, 202, 204, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 499, 500, 501,
        502, 503, 504,
    ];
    let mut places = [CODES.len(); 600];
    let mut status = 100;
    while status < places.len() {
        places[status] = CODES.len() + status / 100 - 1;
        status += 1;
    }
    let mut place = 0;
    while place < CODES.len() {
        places[CODES[place]] = place;
        place += 1;
    }
    places
};

/// What nginx answers, to nobody, when the client has left.
pub(crate) const CLIENT_LEFT: u16 = 499;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_are_in_order() {
        assert!(PATHS[..PATHS.len() - 1].is_sorted());
        assert_eq!(PATHS.last(), Some(&OTHER));
    }

    #[test]
    fn a_path_has_the_label_of_its_route() {
        for (path, label) in [
            ("/", "/"),
            ("/v1/chat/completions", "/v1/chat/completions"),
            ("/v1/models/a/b", "/v1/models/{id}"),
            ("/v1/responses/r1", "/v1/responses/{id}"),
            ("/v1/responses/r1/cancel", "/v1/responses/{id}/cancel"),
            (
                "/smart-ai/models/x/weights",
                "/smart-ai/models/{model}/weights",
            ),
            ("/v1/models/{id}", OTHER),
            ("/v1/nothing", OTHER),
            ("other", OTHER),
            ("", OTHER),
        ] {
            assert_eq!(PATHS[PathLabel::of(path).index()], label, "{path}");
        }
    }

    #[test]
    fn a_status_has_its_own_label_or_that_of_its_class() {
        for (code, label) in [
            (200, "200"),
            (504, "504"),
            (206, "2xx"),
            (302, "3xx"),
            (418, "4xx"),
            (599, "5xx"),
            (100, "1xx"),
            (999, "5xx"),
        ] {
            assert_eq!(STATUSES[status(code)], label, "{code}");
        }
        for label in STATUSES {
            let code = label.replace("xx", "98").parse().unwrap();
            assert_eq!(STATUSES[status(code)], label);
        }
    }

    #[test]
    fn a_method_that_nobody_knows_is_another() {
        assert_eq!(METHODS[method(&Method::POST)], "POST");
        let odd = Method::from_bytes(b"BREW").unwrap();
        assert_eq!(METHODS[method(&odd)], OTHER);
    }
}
